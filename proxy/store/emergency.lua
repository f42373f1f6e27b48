-- Set or end one emergency and say so in the events.
-- KEYS: emergency, events   ARGV: value ('' ends it), lifetime in ms (0: none), event words…
-- → the value that was there before, or nil
local EVENTS_KEPT = 10000

local kind = kind_of(KEYS[1])
local before = false
if kind == 'string' then
  before = redis.call('GETRANGE', KEYS[1], 0, 255)
elseif kind ~= 'none' then
  before = '(' .. kind .. ')'
end

if ARGV[1] == '' then
  redis.call('DEL', KEYS[1])
elseif ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
local events = kind_of(KEYS[2])
if events ~= 'stream' and events ~= 'none' then redis.call('DEL', KEYS[2]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', EVENTS_KEPT, '*', unpack(ARGV, 3))
return before
