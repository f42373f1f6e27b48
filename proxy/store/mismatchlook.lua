-- Read clusters of mismatches, of each component those seen last first.
-- KEYS: clusters of each component   ARGV: id ('' for all of them), most of each component
-- → for each: number of its component's key, id, its fields as a flat list, how many distinct entities
local found = {}
local function counted(key)
  local is_one, count = pcall(redis.call, 'PFCOUNT', key)
  return is_one and type(count) == 'number' and count or 0
end
local function read(number, id)
  local key = KEYS[number] .. ':' .. id
  if redis.call('TYPE', key).ok ~= 'hash' then return end
  found[#found + 1] = {number, id, redis.call('HGETALL', key), counted(key .. ':entities')}
end
for number, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == 'zset' then
    if ARGV[1] == '' then
      for _, id in ipairs(redis.call('ZREVRANGE', key, 0, tonumber(ARGV[2]) - 1)) do read(number, id) end
    elseif redis.call('ZSCORE', key, ARGV[1]) then
      read(number, ARGV[1])
    end
  end
end
return found
