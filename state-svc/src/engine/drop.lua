-- Removes a conversation that was to go, unless it was continued meanwhile.
-- KEYS: the hash. ARGV: the time it was touched when it was chosen.
local touched = redis.call('HGET', KEYS[1], '.t')
if touched and tonumber(touched) <= tonumber(ARGV[1]) then
  redis.call('UNLINK', KEYS[1])
  return 1
end
return 0
