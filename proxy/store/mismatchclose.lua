-- Close a cluster of mismatches and say so in the events.
-- KEYS: its fields, events   ARGV: who, why, now (RFC 3339), event words…
-- → 1 closed, 0 it was closed before, -1 there is none
local EVENTS_KEPT = 10000

if kind_of(KEYS[1]) ~= 'hash' then return -1 end
if redis.call('HGET', KEYS[1], 'status') == 'closed' then return 0 end
redis.call('HSET', KEYS[1], 'status', 'closed', 'closed_by', ARGV[1], 'closed_why', ARGV[2], 'closed_at', ARGV[3])
local events = kind_of(KEYS[2])
if events ~= 'stream' and events ~= 'none' then redis.call('DEL', KEYS[2]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', EVENTS_KEPT, '*', unpack(ARGV, 4))
return 1
