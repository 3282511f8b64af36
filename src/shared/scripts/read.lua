-- Owns the reading of what is kept of one task. It changes nothing.
--
-- KEYS: budget, turns, task.
local kept = redis.call('HMGET', KEYS[3], 'sequence', 'blob', 'forgotten')
return { whole(now), kept[1] or '0', kept[2] or '', kept[3] or '0' }
