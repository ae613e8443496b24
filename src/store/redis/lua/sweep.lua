-- Removes chunks that no restore reads, from the last to the first, a few at a time.
-- KEYS: m, chunks. ARGV: owner, epoch, generation, how many chunks are left of it after this.
local got, refusal = fence('gen', 'old')
if refusal then return refusal end
if got[6] ~= ARGV[3] or got[5] == ARGV[3] then return {'CLOSED', got[6] or ''} end
-- What is of another type somebody else has put there.
for at = 2, #KEYS do
  if redis.call('TYPE', KEYS[at]).ok == 'string' then redis.call('UNLINK', KEYS[at]) end
end
although_full()
if ARGV[4] == '0' then
  redis.call('HSET', KEYS[1], 'old', '', 'old_end', '0')
else
  redis.call('HSET', KEYS[1], 'old_end', ARGV[4])
end
return {'OK'}
