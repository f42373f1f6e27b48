-- Take a batch of sightings of one component: clusters counted, opened anew, the oldest examples dropped.
-- KEYS: clusters (zset of ids by when they were seen last), the last batch of this replica, events
-- ARGV: number of the batch, seconds to keep, most clusters, most examples, component, id of the catch-all,
--       count of event words and the event words of the catch-all (without their kind), then for each sighting:
--       id, route, path, kind, shape, hash of the entity, now (RFC 3339), example or '', count of event words, event words…
-- → 'again' for a batch that was taken before, or a flat list: number of the sighting (0: the catch-all), kind of event
local EVENTS_KEPT, TOOK_KEPT, AHEAD = 10000, 3600, 86400
local CLUSTERS, EVENTS, OTHER = KEYS[1], KEYS[3], ARGV[6]
local keep, most, examples_kept = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function expect(key, kind)
  local is = kind_of(key)
  if is ~= kind and is ~= 'none' then redis.call('DEL', key) end
end
local function keys_of(id)
  local key = CLUSTERS .. ':' .. id
  return key, key .. ':examples', key .. ':entities'
end
local function forget(id)
  redis.call('DEL', keys_of(id))
  redis.call('ZREM', CLUSTERS, id)
end

expect(CLUSTERS, 'zset')
expect(KEYS[2], 'string')
expect(EVENTS, 'stream')
local last = tonumber(redis.call('GET', KEYS[2]) or '')
if last and last >= tonumber(ARGV[1]) then return 'again' end
redis.call('SET', KEYS[2], ARGV[1], 'EX', TOOK_KEPT)  -- first of all: a server that is full or read-only refuses here

local now = tonumber(redis.call('TIME')[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', CLUSTERS, '-inf', now - keep, 'LIMIT', 0, 1000)) do forget(id) end
redis.call('ZREMRANGEBYSCORE', CLUSTERS, now + AHEAD, '+inf')

-- Room for a new cluster: what was closed gives way, the one that was seen longest ago first
local closed
local function is_closed(id)
  local key = keys_of(id)
  if kind_of(key) ~= 'hash' or redis.call('HEXISTS', key, 'first_seen') == 0 then return true end
  return redis.call('HGET', key, 'status') == 'closed'
end
local function make_room()
  if not closed then
    closed = {}
    for _, id in ipairs(redis.call('ZREVRANGE', CLUSTERS, 0, -1)) do
      if id ~= OTHER and is_closed(id) then closed[#closed + 1] = id end
    end
  end
  while #closed > 0 do
    local id = table.remove(closed)
    if is_closed(id) then
      forget(id)
      return true
    end
  end
  return false
end
local function has_room()
  local count = redis.call('ZCARD', CLUSTERS)
  if redis.call('ZSCORE', CLUSTERS, OTHER) then count = count - 1 end
  return count < most or make_room()
end

local happened = {}
local function tell(number, kind, from, count)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'kind', kind, unpack(ARGV, from, from + count - 1))
  happened[#happened + 1] = number
  happened[#happened + 1] = kind
end
local function one_more(key, name)
  if not pcall(redis.call, 'HINCRBY', key, name, 1) then redis.call('HSET', key, name, 1) end
end

-- Returns the kind of the event that it is, if it is one
local function count(key, at)
  local found = redis.call('HMGET', key, 'first_seen', 'last_seen', 'status')
  one_more(key, 'count')
  if (found[2] or '') < at then redis.call('HSET', key, 'last_seen', at) end
  if not found[1] then
    redis.call('HSET', key, 'first_seen', at, 'status', 'open', 'reopened', 0)
    return 'mismatch_found'
  end
  if at < found[1] then redis.call('HSET', key, 'first_seen', at) end
  if found[3] == 'open' then return nil end
  redis.call('HSET', key, 'status', 'open')
  one_more(key, 'reopened')
  return 'mismatch_reopened'
end

local other_words = tonumber(ARGV[7])
local at, number = 8 + other_words, 0
while ARGV[at] do
  number = number + 1
  local id, from, words = ARGV[at], at + 9, tonumber(ARGV[at + 8])
  local hash, examples, entities = keys_of(id)
  expect(hash, 'hash')
  local is_other = id == OTHER
  if not is_other and redis.call('HEXISTS', hash, 'first_seen') == 0 and not has_room() then
    id, is_other = OTHER, true
    hash, examples, entities = keys_of(id)
    expect(hash, 'hash')
  end
  if is_other then
    redis.call('HSET', hash, 'component', ARGV[5], 'route', '', 'path', '', 'kind', 'other', 'shape', '')
  else
    redis.call('HSET', hash, 'component', ARGV[5], 'route', ARGV[at + 1], 'path', ARGV[at + 2], 'kind', ARGV[at + 3],
      'shape', ARGV[at + 4])
  end
  local kind = count(hash, ARGV[at + 6])
  if kind and is_other then tell(0, kind, 8, other_words) elseif kind then tell(number, kind, from, words) end
  redis.call('ZADD', CLUSTERS, now, id)
  if not pcall(redis.call, 'PFADD', entities, ARGV[at + 5]) then
    redis.call('DEL', entities)
    redis.call('PFADD', entities, ARGV[at + 5])
  end
  if ARGV[at + 7] ~= '' then
    expect(examples, 'list')
    redis.call('LPUSH', examples, ARGV[at + 7])
    redis.call('LTRIM', examples, 0, examples_kept - 1)
  end
  for _, key in ipairs({CLUSTERS, hash, examples, entities}) do redis.call('EXPIRE', key, keep) end
  at = from + words
end
return happened
