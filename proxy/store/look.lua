-- All that a replica follows, as of one moment: who the server is, the rules (only if they are not the ones that
-- the caller knows), every emergency that the caller knows by name, and those that one more step of SCAN finds.
-- KEYS: rules   ARGV: known token, cursor, pattern of all emergencies, count of a step (0: none), full names of
-- emergencies…
-- → {run id, role, token, document or nil, cursor, {name, type, value, pttl, …}}
local function info(section, field)
  local answer = redis.pcall('INFO', section)
  if type(answer) ~= 'string' then return '' end
  return string.match(answer, field .. ':([^\r\n]*)') or ''
end

local found, seen = {}, {}

local NAME_LIMIT = 512  -- bytes: no component has such a name, and it would go over the wire with every look

local function note(name)
  if seen[name] or #name > NAME_LIMIT then return end
  seen[name] = true
  local kind = kind_of(name)
  if kind == 'none' then return end
  local value = kind == 'string' and redis.call('GETRANGE', name, 0, 255) or ''
  for _, part in ipairs({name, kind, value, redis.call('PTTL', name)}) do
    found[#found + 1] = part
  end
end

for at = 5, #ARGV do note(ARGV[at]) end
local cursor = ARGV[2]
if ARGV[4] ~= '0' then
  local step = redis.call('SCAN', cursor, 'MATCH', ARGV[3], 'COUNT', ARGV[4])
  cursor = step[1]
  for _, name in ipairs(step[2]) do note(name) end
end

local now = token(KEYS[1])
local document = false
if now ~= ARGV[1] and string.sub(now, 1, 4) == 'sha:' then
  document = redis.call('GET', KEYS[1])
end
return {info('server', 'run_id'), info('replication', 'role'), now, document, cursor, found}
