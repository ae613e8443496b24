-- Adds a batch to the log.
-- KEYS: m, l. ARGV: owner, epoch, first record, record after the last, batch.
local got, refusal = fence('covered')
if refusal then return refusal end
local first, last, tail = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(got[4])
if last <= tail then return {'DUP', got[4]} end
if first > tail then return {'GAP', got[4]} end
if first < tail then return {'OVERLAP', got[4]} end

-- The log and the tail change both or not at all.
if redis.acl_check_cmd and not redis.acl_check_cmd('HSET', KEYS[1], 'tail', '0') then
  return redis.error_reply('NOPERM the user may not run HSET on ' .. KEYS[1])
end
local id, added = ARGV[2] .. '-' .. ARGV[4], nil
if tail > (tonumber(got[5]) or 0) then
  -- There are records since the snapshot: a log that is not there has been lost.
  added = redis.pcall('XADD', KEYS[2], 'NOMKSTREAM', id, 'b', ARGV[5])
  if not added then return {'GONE', KEYS[2]} end
else
  added = redis.pcall('XADD', KEYS[2], id, 'b', ARGV[5])
end
if type(added) == 'table' and added.err then
  -- Somebody else has written to the log.
  if string.find(added.err, 'equal or smaller', 1, true) then return {'FOREIGN', KEYS[2]} end
  return failed(KEYS[2], added)
end
redis.call('HSET', KEYS[1], 'tail', ARGV[4])
return {'OK', ARGV[4]}
