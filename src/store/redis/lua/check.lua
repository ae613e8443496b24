-- Looks whether a partition is still as its owner has left it, a part of it at a time. Changes nothing.
-- KEYS: m, l, chunks of the snapshot. ARGV: owner, epoch, entries that the log has at least, the record after the last that
-- the snapshot covers; then fields of `:m`, each with the value that the owner has given it.
local got, refusal = fence()
if refusal then return refusal end
for at = 5, #ARGV, 2 do
  if (redis.call('HMGET', KEYS[1], ARGV[at])[1] or '') ~= ARGV[at + 1] then return {'DAMAGED', KEYS[1], ARGV[at]} end
end
local entries = redis.pcall('XLEN', KEYS[2])
if type(entries) == 'table' then return failed(KEYS[2], entries) end
local is_empty = entries == 0 and tonumber(got[4]) > tonumber(ARGV[4])
if is_empty or entries < tonumber(ARGV[3]) then return {'GONE', KEYS[2]} end
local bytes = 0
for at = 3, #KEYS do
  local length = redis.pcall('STRLEN', KEYS[at])
  -- Of another type, it has been replaced.
  if type(length) == 'table' or length == 0 then return {'GONE', KEYS[at]} end
  bytes = bytes + length
end
return {'OK', text(entries), text(bytes)}
