-- Removes chunks that no restore reads, from the last to the first, a few at a time.
-- KEYS: m, chunks. ARGV: owner, epoch, generation, how many chunks are left of it after this.
local got, refusal = fence('gen', 'old')
if refusal then return refusal end
if got[6] ~= ARGV[3] or got[5] == ARGV[3] then return {'CLOSED', got[6] or ''} end
if #KEYS > 1 then redis.call('UNLINK', unpack(KEYS, 2)) end
although_full()
if ARGV[4] == '0' then
  redis.call('HSET', KEYS[1], 'old', '', 'old_end', '0')
else
  redis.call('HSET', KEYS[1], 'old_end', ARGV[4])
end
return {'OK'}
