-- A small write after which WAIT and WAITAOF speak for all that was written to the partition before.
-- KEYS: m. ARGV: owner, epoch, record after the last that was acknowledged.
local got, refusal = fence()
if refusal then return refusal end
if tonumber(got[4]) < tonumber(ARGV[3]) then return {'GAP', got[4]} end
although_full()
redis.call('HSET', KEYS[1], 'synced', got[4])
return {'OK', got[4]}
