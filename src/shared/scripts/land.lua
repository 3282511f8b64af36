-- Owns the result of a request: the gate, the lease and the state of the task.
--
-- 1. A lease that another flight holds now is not touched.
-- 2. A state is kept only if its sequence number is larger than that of the kept one: a late writer is refused.
-- 3. A terminal state that is not expired absorbs all others but terminal ones.
-- 4. A terminal state that comes late is kept under a new number, unless the task was forgotten since its request.
-- 5. Whoever watches the task is told, also where there is no state: the lease is free.
--
-- KEYS: budget, turns; for a task also: task, lease, and the news of its channel.
-- ARGV: interval, burst, owner, gate ('', 'closed', 'opened', 'undecided'), hold, because, 1 for a 429, path, channel,
--       sequence or '', fresh until, 1 for terminal, life in ms, blob.
local b = read_budget(tonumber(ARGV[1]), tonumber(ARGV[2]))
local owner, gate = ARGV[3], ARGV[4]
if gate == 'closed' then
  close(b, owner, tonumber(ARGV[5]), ARGV[6], ARGV[7] == '1')
elseif gate == 'opened' and b.because and b.probe == owner then
  open(b)
elseif gate == 'undecided' and b.because and b.probe == owner then
  pass_probe_on(b, tonumber(ARGV[5]))
end
if not KEYS[3] then
  write_budget(b)
  return { 'kept' }
end

local was_leased = redis.call('GET', KEYS[4]) == owner
if was_leased then redis.call('DEL', KEYS[4]) end

local function tell(sequence)
  redis.call('ZADD', KEYS[5], now, ARGV[8])
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - 60000000)
  redis.call('PEXPIRE', KEYS[5], 60000)
  redis.call('PUBLISH', ARGV[9], sequence .. ' ' .. ARGV[8])
end

if ARGV[10] == '' then
  local number = whole(next_number(b))
  write_budget(b)
  if was_leased then tell(number) end
  return { 'kept' }
end

local sequence, is_terminal = tonumber(ARGV[10]), ARGV[12] == '1'
local kept = redis.call('HMGET', KEYS[3], 'sequence', 'fresh', 'terminal', 'forgotten', 'blob')
local kept_sequence = tonumber(kept[1]) or 0
if sequence < (tonumber(kept[4]) or 0) then
  write_budget(b)
  return { 'outdated' }
end
local absorbs = kept[5] and kept[3] == '1' and tonumber(kept[2]) > now
if absorbs and not is_terminal then
  write_budget(b)
  if was_leased then tell(kept[1]) end
  return { 'other', whole(now), kept[1], kept[5] }
end
if sequence <= kept_sequence then
  if is_terminal and not absorbs then
    local number = whole(next_number(b))
    write_budget(b)
    return { 'again', number }
  end
  write_budget(b)
  if kept[5] then return { 'other', whole(now), kept[1], kept[5] } end
  return { 'outdated' }
end
redis.call('HSET', KEYS[3], 'sequence', ARGV[10], 'fresh', ARGV[11], 'terminal', ARGV[12], 'blob', ARGV[14])
redis.call('PEXPIRE', KEYS[3], ARGV[13])
write_budget(b)
tell(ARGV[10])
return { 'kept' }
