-- Owns the look of a replica at the news since its last one, and the list of the replicas that are alive.
--
-- 1. Each replica looks every 2 s; one that has not looked for 7 s is not alive.
-- 2. Each look overlaps the last one by a second: what is told at the same time is told twice, not missed.
--
-- KEYS: budget, turns, replicas, then the news of each channel. ARGV: replica, time of the last look or 0, the beginning
-- of the tasks' keys.
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 7000000)
redis.call('PEXPIRE', KEYS[3], 60000)
-- What other scripts read is of the right type.
redis.call('HGET', KEYS[1], 'arrival')
redis.call('HGET', KEYS[2], 'virtual')
local since = tonumber(ARGV[2])
if since == 0 then since = now end
local paths = {}
for i = 4, #KEYS do
  for _, path in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], since - 1000000, '+inf', 'LIMIT', 0, 10000)) do
    paths[#paths + 1] = (redis.call('HGET', ARGV[3] .. path, 'sequence') or whole(now)) .. ' ' .. path
  end
end
return { whole(now), redis.call('ZCARD', KEYS[3]), paths }
