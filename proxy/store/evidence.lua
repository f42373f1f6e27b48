-- Add what one replica counted of one route; start anew when that rests on something else than what is there.
-- KEYS: routes of the component, counts, entities, differing entities, the last batch of this replica
-- ARGV: number of the batch, route, now (RFC 3339), seconds to keep, epoch, version, rules, phase, version of legacy,
--       version of modern, then three lists, each behind its length: (name, count)…, entities…, differing entities…
-- → '' when added, 'again' for a batch that was added before, 'old' for one of rules that were replaced meanwhile, or
--   what it started anew for
local MOST_NAMES = 200
local TYPES = {'set', 'hash', 'string', 'string', 'string'}

for index, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= TYPES[index] then redis.call('DEL', key) end
end
local keep = tonumber(ARGV[4])
local last = tonumber(redis.call('GET', KEYS[5]) or '')
if last and last >= tonumber(ARGV[1]) then return 'again' end
redis.call('SET', KEYS[5], ARGV[1], 'EX', 3600)

local NAMES = {'rules', 'phase', 'legacy', 'modern'}
local known = redis.call('HMGET', KEYS[2], 'since', 'epoch', 'version', unpack(NAMES))
local why = ''
if known[1] then
  for index, name in ipairs(NAMES) do
    local before, now = known[3 + index] or '', ARGV[6 + index]
    if why == '' and before ~= now and (index <= 2 or (before ~= '' and now ~= '')) then
      why = name
      if index > 2 then why = 'version of ' .. name .. ': ' .. before .. ' → ' .. now end
      if name == 'phase' then why = 'phase: ' .. before .. ' → ' .. now end
    end
  end
  local is_older = known[2] == ARGV[5] and (tonumber(known[3]) or 0) > tonumber(ARGV[6])
  if why ~= '' and is_older then return 'old' end
end
local function start(reason)
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
  redis.call('HSET', KEYS[2], 'since', ARGV[3], 'why', reason)
end
if why ~= '' then start(why) elseif not known[1] then start('first comparison') end
redis.call('HSET', KEYS[2], 'epoch', ARGV[5], 'version', ARGV[6], 'rules', ARGV[7], 'phase', ARGV[8])
for index = 9, 10 do
  if ARGV[index] ~= '' then redis.call('HSET', KEYS[2], NAMES[index - 6], ARGV[index]) end
end

local at = 11
local room = MOST_NAMES - redis.call('HLEN', KEYS[2])
for _ = 1, tonumber(ARGV[at]) do
  local name = 'n:' .. ARGV[at + 1]
  if redis.call('HEXISTS', KEYS[2], name) == 0 then
    local word = string.match(ARGV[at + 1], '^(%a+)[: ]')  -- nil for an outcome, which is never another one
    if room <= 0 and word == 'swallowed' then name = 'n:swallowed:other' end
    if room <= 0 and word and word ~= 'test' and word ~= 'swallowed' then name = 'n:other' end
    room = room - 1
  end
  pcall(redis.call, 'HINCRBY', KEYS[2], name, ARGV[at + 2])
  at = at + 2
end
at = at + 1
for index = 3, 4 do
  local size = tonumber(ARGV[at])
  for begin = at + 1, at + size, 1000 do
    local added = pcall(redis.call, 'PFADD', KEYS[index], unpack(ARGV, begin, math.min(begin + 999, at + size)))
    if not added then redis.call('DEL', KEYS[index]) end
  end
  at = at + size + 1
end
redis.call('SADD', KEYS[1], ARGV[2])
for index = 1, 4 do redis.call('EXPIRE', KEYS[index], keep) end
return why
