-- Owns the budget and the gate of one API key: functions that the other scripts are joined with.
--
-- 1. In any window of t seconds at most `burst + rate·t` requests are allowed (GCRA, as in the core's bucket).
-- 2. A budget that is not there is an empty one: a flush gives no burst.
-- 3. No request goes before `closed_until`, and then one probe alone, until it lands or does not renew its lease.
-- 4. `issued` rises with each request: a later request has the larger sequence number.
-- 5. While tokens are short, replicas take turns by virtual time: a grant costs 1 / weight. One that was told when to
--    come, and does not come, keeps the others waiting for GRACE at most; one that has just had its turn, for AGAIN.
--
-- All times are microseconds of Redis' own clock.

local GRACE, AGAIN = 200000, 20000
local FLOOR, SLOWER, RECOVERY, QUIET = 0.1, 0.7, 0.05, 60000000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function whole(number) return string.format('%.0f', number) end

-- KEYS[1], a hash: the budget. interval: between two tokens at the rate of the settings.
local function read_budget(interval, burst)
  local b = { interval = interval, burst = burst }
  local names = { 'arrival', 'factor', 'quiet', 'issued', 'closed_until', 'probe_until', 'probe' }
  local values = redis.call('HMGET', KEYS[1], unpack(names))
  for i, name in ipairs(names) do b[name] = tonumber(values[i]) end
  b.probe = values[7] or nil
  b.because = redis.call('HGET', KEYS[1], 'because') or nil
  b.factor = b.factor or 1
  b.quiet = b.quiet or now
  b.issued = b.issued or 0
  while b.factor < 1 and now - b.quiet >= QUIET do
    b.factor = math.min(1, b.factor + RECOVERY)
    b.quiet = b.quiet + QUIET
  end
  b.step = b.interval / b.factor
  if not b.arrival then b.arrival = now + b.step * b.burst end
  return b
end

local function write_budget(b)
  redis.call('HSET', KEYS[1], 'arrival', whole(b.arrival), 'factor', string.format('%.6f', b.factor),
    'quiet', whole(b.quiet), 'issued', whole(b.issued))
  redis.call('PEXPIRE', KEYS[1], 3600000)
end

local function empty(b) b.arrival = math.max(b.arrival, now + b.step * b.burst) end

local function next_number(b)
  b.issued = math.max(now, b.issued + 1)
  return b.issued
end

-- Closes the gate, or keeps it closed for longer. A 429 slows the rate down once for each closure.
local function close(b, owner, hold, because, is_slower)
  if is_slower and (not b.because or b.probe == owner) then
    b.factor = math.max(FLOOR, b.factor * SLOWER)
    b.quiet = now
    b.step = b.interval / b.factor
  end
  empty(b)
  local held = math.max(b.closed_until or 0, now + hold)
  redis.call('HSET', KEYS[1], 'closed_until', whole(held), 'because', because)
  redis.call('HDEL', KEYS[1], 'probe', 'probe_until')
end

-- The probe has found out nothing.
local function pass_probe_on(b, hold)
  local held = math.max(b.closed_until or 0, now + hold)
  redis.call('HSET', KEYS[1], 'closed_until', whole(held))
  redis.call('HDEL', KEYS[1], 'probe', 'probe_until')
end

local function open(b)
  empty(b)
  redis.call('HDEL', KEYS[1], 'closed_until', 'because', 'probe', 'probe_until')
end

-- KEYS[2], a hash: `virtual`, the start of the last grant in virtual time; and for each replica its own virtual time,
-- the time of the turn it was promised while it waits (0: it does not), and when it asked last.
-- Returns this replica's virtual time, and, where it is not its turn, when to ask again.
local function turn(replica)
  local own, is_waiting, least, coming
  local virtual = tonumber(redis.call('HGET', KEYS[2], 'virtual')) or 0
  local turns = redis.call('HGETALL', KEYS[2])
  for i = 1, #turns, 2 do
    local at, promised, asked = string.match(turns[i + 1], '^(%S+) (%S+) (%S+)$')
    at, promised, asked = tonumber(at), tonumber(promised), tonumber(asked)
    if not at then
      -- `virtual`, or nonsense.
    elseif turns[i] == replica then
      own, is_waiting = at, promised > 0 and promised + GRACE > now
    elseif promised > 0 and promised + GRACE > now then
      if not least or at < least then least, coming = at, promised end
    elseif asked + 2000000 < now then
      redis.call('HDEL', KEYS[2], turns[i])
    end
  end
  -- One that did not wait has saved no turns (start-time fair queueing: Goyal, Vin and Cheng, 1996).
  if not is_waiting then own = math.max(own or 0, virtual) end
  if least and own > least then return own, math.max(coming, now + 5000) end
  return own, nil, is_waiting
end

local function note_turn(replica, at, promised)
  redis.call('HSET', KEYS[2], replica, string.format('%.9f %.0f %.0f', at, promised, now))
  redis.call('PEXPIRE', KEYS[2], 10000)
end
