-- Owns the renewal of what a request holds while it is under way: the lease of its task, and the probe of the gate.
--
-- 1. Only its owner renews it. What is lost stays lost: another request may hold it, or be about to.
-- 2. A request that is no flight holds no lease.
--
-- KEYS: budget, turns; of a flight also: lease. ARGV: owner, lease in ms.
local owner, lease = ARGV[1], tonumber(ARGV[2])
if KEYS[3] and redis.call('GET', KEYS[3]) == owner then
  redis.call('PEXPIRE', KEYS[3], lease)
end
if redis.call('HGET', KEYS[1], 'probe') == owner then
  redis.call('HSET', KEYS[1], 'probe_until', whole(now + lease * 1000))
end
