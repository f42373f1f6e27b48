-- Replace the rules if they are still what the caller judged: document, history, event and lost emergencies at once.
-- KEYS: rules, history, events, emergencies…   ARGV: judged token, document ('' leaves it as it is),
-- count of history words, history words…, count of event words, event words…, value and pttl of each emergency…
-- → {1 or 0, the token found}
local HISTORY_KEPT, EVENTS_KEPT = 1000, 10000

local function append(key, kept, from, count)
  if count == 0 then return end
  local kind = kind_of(key)
  if kind ~= 'stream' and kind ~= 'none' then redis.call('DEL', key) end
  redis.call('XADD', key, 'MAXLEN', '~', kept, '*', unpack(ARGV, from, from + count - 1))
end

local found = token(KEYS[1])
if found ~= ARGV[1] then return {0, found} end

-- SET comes first: a server that is full or read-only refuses here, and nothing is half done
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2]) end
local history_words = tonumber(ARGV[3])
local event_words = tonumber(ARGV[4 + history_words])
append(KEYS[2], HISTORY_KEPT, 4, history_words)
append(KEYS[3], EVENTS_KEPT, 5 + history_words, event_words)
local at = 5 + history_words + event_words
for index = 4, #KEYS do
  local value, pttl = ARGV[at], tonumber(ARGV[at + 1])
  if pttl > 0 then
    redis.call('SET', KEYS[index], value, 'NX', 'PX', pttl)
  else
    redis.call('SET', KEYS[index], value, 'NX')
  end
  at = at + 2
end
return {1, found}
