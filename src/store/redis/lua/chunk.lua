-- Writes a chunk of the snapshot that is open.
-- KEYS: m, chunk. ARGV: owner, epoch, generation, number of the chunk, chunk.
local got, refusal = fence('open', 'open_chunks', 'open_end')
if refusal then return refusal end
if got[5] ~= ARGV[3] then return {'CLOSED', got[5] or ''} end
local there = redis.pcall('GET', KEYS[2])
if type(there) == 'table' then return failed(KEYS[2], there) end
-- Sent again after a lost answer, or not ours.
if there then return there == ARGV[5] and {'OK'} or {'FOREIGN', KEYS[2]} end
redis.call('SET', KEYS[2], ARGV[5])
-- How many there are, and how far their numbers go: a few are under way at a time.
local chunks, far = (tonumber(got[6]) or 0) + 1, math.max(tonumber(got[7]) or 0, tonumber(ARGV[4]) + 1)
redis.call('HSET', KEYS[1], 'open_chunks', text(chunks), 'open_end', text(far))
return {'OK'}
