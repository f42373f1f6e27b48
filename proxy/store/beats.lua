-- What the keys of replicas hold, each with its type and length; what is longer than any heartbeat stays where it is.
-- KEYS: full names   ARGV: most bytes   → {type, length, value or '', …}
local found = {}
for _, key in ipairs(KEYS) do
  local kind = kind_of(key)
  local size = kind == 'string' and redis.call('STRLEN', key) or 0
  local value = kind == 'string' and size <= tonumber(ARGV[1]) and redis.call('GET', key) or ''
  for _, part in ipairs({kind, size, value}) do
    found[#found + 1] = part
  end
end
return found
