-- Keeps the index of all conversations, and says which must go.
-- KEYS: sorted set (member: conversation, score: touched), hash of weights, sum of weights.
-- ARGV: conversation or '', touched, weight (0: it was dropped), expired at, most weight, how many may go.
-- Returns the conversations that must go, each with the time it was touched.
local order, weights, sum = KEYS[1], KEYS[2], KEYS[3]
local member = ARGV[1]
local function unlist(name)
  redis.call('ZREM', order, name)
  local weight = tonumber(redis.call('HGET', weights, name) or '0')
  redis.call('HDEL', weights, name)
  return redis.call('DECRBY', sum, weight)
end
if member ~= '' then
  -- Two commits of one conversation may come here in either order: the later one stands.
  local known = tonumber(redis.call('ZSCORE', order, member) or '0')
  if ARGV[3] == '0' then
    unlist(member)
  elseif tonumber(ARGV[2]) >= known then
    local before = tonumber(redis.call('HGET', weights, member) or '0')
    redis.call('ZADD', order, ARGV[2], member)
    redis.call('HSET', weights, member, ARGV[3])
    redis.call('INCRBY', sum, tonumber(ARGV[3]) - before)
  end
end
local total = tonumber(redis.call('GET', sum) or '0')
local gone = {}
for _ = 1, tonumber(ARGV[6]) do
  local first = redis.call('ZRANGE', order, 0, 1, 'WITHSCORES')
  -- What was written just now stays.
  if first[1] == member then
    first = { first[3], first[4] }
  end
  if not first[1] then
    break
  end
  if tonumber(first[2]) > tonumber(ARGV[4]) and total <= tonumber(ARGV[5]) then
    break
  end
  total = unlist(first[1])
  gone[#gone + 1] = first[1]
  gone[#gone + 1] = first[2]
end
return gone
