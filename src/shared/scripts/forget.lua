-- Owns the end of what is known of a task: a purge, or a cancellation after which only the upstream knows.
--
-- 1. No state of a request that began before is kept afterwards: its number is smaller than `forgotten`.
-- 2. The lease stays: a request that began before answers those who waited for it, and the next one follows it.
-- 3. Other replicas are told, and forget the task too.
--
-- KEYS: budget, turns, task, the news of its channel. ARGV: interval, burst, path, channel.
local b = read_budget(tonumber(ARGV[1]), tonumber(ARGV[2]))
local number = whole(next_number(b))
write_budget(b)
redis.call('DEL', KEYS[3])
redis.call('HSET', KEYS[3], 'sequence', number, 'forgotten', number)
-- Longer than any request takes.
redis.call('PEXPIRE', KEYS[3], 3600000)
redis.call('ZADD', KEYS[4], now, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - 60000000)
redis.call('PEXPIRE', KEYS[4], 60000)
redis.call('PUBLISH', ARGV[4], number .. ' ' .. ARGV[3])
return number
