-- Proves a lease for another term, also one that has run out if nobody took it.
-- KEYS: m. ARGV: owner, epoch, term in ms.
local got, refusal = fence('lease_until')
if refusal then return refusal end
-- It was given back: a proof that was on its way meanwhile does not take it again.
if got[5] == '0' then return {'FENCED', got[2], got[3]} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
although_full()
redis.call('HSET', KEYS[1], 'lease_until', text(now + tonumber(ARGV[3])), 'term_ms', ARGV[3])
return {'OK', got[4]}
