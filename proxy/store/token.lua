-- What a key holds, in one word that differs whenever its value does: the "compare" of compare-and-set.
-- A value above the limit is no rule set of ours and is not even hashed.
local LIMIT = 8388608

local function kind_of(key)
  return redis.call('TYPE', key).ok
end

local function token(key)
  local kind = kind_of(key)
  if kind == 'none' then return 'absent' end
  if kind ~= 'string' then return 'type:' .. kind end
  local size = redis.call('STRLEN', key)
  if size > LIMIT then return 'large:' .. size end
  return 'sha:' .. redis.sha1hex(redis.call('GET', key))
end
