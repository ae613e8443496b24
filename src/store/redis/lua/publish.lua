-- Makes the open snapshot the one to restore from. One write, so all of it or nothing.
-- KEYS: m. ARGV: owner, epoch, generation, chunks, covered, complete, next sequence, jobs, fired, bytes, '1' if the log
-- before it is of no use, and generation and chunks of the one before it as the owner knows it.
local got, refusal = fence('gen', 'chunks', 'base', 'open', 'open_chunks', 'covered', 'snapshot_at')
if refusal then return refusal end
local tail, covered = tonumber(got[4]), tonumber(ARGV[5])
if got[5] == ARGV[3] then return {'OK', got[4], got[11]} end
if got[8] ~= ARGV[3] then return {'CLOSED', got[8] or ''} end
if got[9] ~= ARGV[4] then return {'CHUNKS', got[9] or ''} end
local new_tail = got[4]
if ARGV[11] == '1' then
  if tail > covered then return {'AHEAD', got[4]} end
  new_tail = ARGV[5]
else
  if tonumber(ARGV[6]) > tail then return {'GAP', got[4]} end
  -- What this owner has found in the log is of older epochs, which go as a whole.
  if covered < (tonumber(got[7]) or 0) then return {'EARLY', got[7]} end
  -- The log before the snapshot that is there has been given up.
  if covered < (tonumber(got[10]) or 0) then return {'EARLY', got[10]} end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
although_full()
redis.call('HSET', KEYS[1], 'gen', ARGV[3], 'chunks', ARGV[4], 'covered', ARGV[5], 'complete', ARGV[6],
  'next_sequence', ARGV[7], 'jobs', ARGV[8], 'fired', ARGV[9], 'bytes', ARGV[10], 'snapshot_at', text(now),
  'tail', new_tail, 'log_from', ARGV[2] .. '-' .. text(covered + 1),
  'old', got[5] or ARGV[12], 'old_end', got[6] or ARGV[13], 'open', '')
return {'OK', new_tail, text(now)}
