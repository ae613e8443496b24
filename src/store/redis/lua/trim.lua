-- Removes from the log what the snapshot covers, a part at a time, whole nodes first; the rest of a node at the end.
-- KEYS: m, l. ARGV: owner, epoch, how many entries to remove at most, '1' for the end.
local got, refusal = fence('log_from')
if refusal then return refusal end
local from, gone = got[5], nil
if not from then return {'OK', '0'} end
if ARGV[4] == '1' then
  gone = redis.pcall('XTRIM', KEYS[2], 'MINID', from)
else
  gone = redis.pcall('XTRIM', KEYS[2], 'MINID', '~', from, 'LIMIT', ARGV[3])
end
if type(gone) == 'table' then return failed(KEYS[2], gone) end
return {'OK', text(gone)}
