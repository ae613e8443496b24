-- Gives a lease back.
-- KEYS: m. ARGV: owner, epoch.
local got, refusal = fence()
if refusal then return refusal end
although_full()
redis.call('HSET', KEYS[1], 'lease_until', '0')
return {'OK'}
