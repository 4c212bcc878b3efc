-- Changes one conversation's hash if its version is the expected one.
-- KEYS: the hash. ARGV: expected version or '', 'drop' | 'replace' | 'keep', version, touched, ttl in ms,
-- number of fields to set, then name and value of each, then the names of fields to remove.
local key = KEYS[1]
local version = redis.call('HGET', key, '.v') or ''
if version ~= ARGV[1] then
  return 0
end
if ARGV[2] ~= 'keep' then
  redis.call('UNLINK', key)
  if ARGV[2] == 'drop' then
    return 1
  end
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  redis.call('HSET', key, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = at, #ARGV do
  redis.call('HDEL', key, ARGV[i])
end
redis.call('HSET', key, '.v', ARGV[3], '.t', ARGV[4])
redis.call('PEXPIRE', key, ARGV[5])
return 1
