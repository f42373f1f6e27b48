-- Read what was counted of some routes.
-- KEYS: counts, entities, differing entities of each route
-- → for each route: its counts as a flat list, how many distinct entities, how many of them differ
local found = {}
local function counted(key)
  local counts = pcall(redis.call, 'PFCOUNT', key)
  if not counts then return 0 end
  return redis.call('PFCOUNT', key)
end
for index = 1, #KEYS, 3 do
  local flat = {}
  if redis.call('TYPE', KEYS[index]).ok == 'hash' then flat = redis.call('HGETALL', KEYS[index]) end
  found[#found + 1] = flat
  found[#found + 1] = counted(KEYS[index + 1])
  found[#found + 1] = counted(KEYS[index + 2])
end
return found
