-- Owns the decision whether a request may go upstream. The first that holds:
--
-- 1. A fresh state that the replica does not know is there: no request goes out.
-- 2. Another flight of the task holds the lease, and renews it.
-- 3. The gate is closed, or its probe is under way.
-- 4. There is no token, or it is another replica's turn.
-- 5. The request may go, with a sequence number of its own and the lease.
--
-- KEYS: budget, turns, replicas; of a flight also: task, lease.
-- ARGV: interval, burst, replica, weight, owner, lease in ms or 0, known sequence, 1 where the replica was alone.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local replica, weight, owner = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local lease, known = tonumber(ARGV[6]), tonumber(ARGV[7])

if KEYS[4] then
  local state = redis.call('HMGET', KEYS[4], 'sequence', 'fresh', 'blob')
  if state[3] and tonumber(state[1]) > known and tonumber(state[2]) > now then
    return { 'newer', whole(now), state[1], state[3] }
  end
  local left = redis.call('PTTL', KEYS[5])
  if left > 0 and redis.call('GET', KEYS[5]) ~= owner then
    return { 'leased', left * 1000 }
  end
end

local b = read_budget(interval, burst)
-- What was sent meanwhile is not known here.
if ARGV[8] == '1' then empty(b) end

local is_probe = 0
if b.because then
  if b.closed_until and b.closed_until > now then
    write_budget(b)
    return { 'closed', whole(b.closed_until - now), b.because }
  end
  if lease == 0 or (b.probe and b.probe ~= owner and (b.probe_until or 0) > now) then
    write_budget(b)
    return { 'closed', 250000, b.because }
  end
  is_probe = 1
end

local at, after_others, was_waiting = turn(replica)
local ready = b.arrival - b.step * (burst - 1)
if b.arrival - now < b.step * burst / 2 then after_others = nil end
if ready > now or after_others then
  local promised = math.max(ready, after_others or 0, now + 1000)
  note_turn(replica, at, promised)
  write_budget(b)
  return { 'later', whole(promised - now) }
end

b.arrival = math.max(b.arrival, now) + b.step
local sequence = next_number(b)
write_budget(b)
redis.call('HSET', KEYS[2], 'virtual', string.format('%.9f', at))
-- It will come again, if others keep it waiting.
note_turn(replica, at + 1 / weight, was_waiting and now - GRACE + AGAIN or 0)
if is_probe == 1 then
  redis.call('HSET', KEYS[1], 'probe', owner, 'probe_until', whole(now + lease * 1000))
end
if KEYS[5] and lease > 0 then
  redis.call('SET', KEYS[5], owner, 'PX', lease)
end
return { 'go', whole(sequence), is_probe, whole(now) }
