-- Gives the lease of a partition, under a new epoch, higher than all before it.
-- KEYS: m, l. ARGV: owner, epoch after which the new one comes, partitions, term in ms, '1' to take it by force.
local m, l = KEYS[1], KEYS[2]
local kind, log = redis.call('TYPE', m).ok, redis.call('TYPE', l).ok
if kind ~= 'none' and kind ~= 'hash' then return {'FOREIGN', m} end
if log ~= 'none' and log ~= 'stream' then return {'FOREIGN', l} end
local got = redis.call('HMGET', m, 'format', 'partitions', 'owner', 'epoch', 'tail', 'lease_until')
if kind == 'hash' then
  if not got[1] then return {'FOREIGN', m} end
  if got[1] ~= FORMAT then return {'FORMAT', m, got[1]} end
  if got[2] ~= ARGV[3] then return {'PARTITIONS', got[2] or '?'} end
  if not (tonumber(got[4]) and tonumber(got[5]) and tonumber(got[6])) then return {'FOREIGN', m} end
elseif log ~= 'none' then
  return {'ORPHAN', l}
end

-- All that an owner will want to write has to be allowed now, rather than half of it later.
if redis.acl_check_cmd then
  local needed = {{'HSET', m, 'tail', '0'}, {'HDEL', m, '-'}, {'XADD', l, '*', 'b', ''}, {'XTRIM', l, 'MINID', '0'},
    {'SET', m, ''}, {'GET', m}, {'UNLINK', m}, {'XRANGE', l, '-', '+'}}
  for _, command in ipairs(needed) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM the user may not run ' .. command[1] .. ' on ' .. command[2])
    end
  end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local left = tonumber(got[6] or '0') - now
-- An owner that claims again, after Redis has lost something, and comes after another has taken over.
if tonumber(ARGV[2]) > 0 and got[3] ~= ARGV[1] and tonumber(got[4] or '0') > tonumber(ARGV[2]) then
  return {'FENCED', got[3], got[4]}
end
if left > 0 and got[3] ~= ARGV[1] and ARGV[5] ~= '1' then return {'HELD', got[3], text(left)} end
local epoch = text(math.max(tonumber(got[4] or '0') + 1, tonumber(ARGV[2]) + 1, now))
local tail = got[5] or '0'
although_full()
redis.call('HSET', m, 'format', FORMAT, 'partitions', ARGV[3], 'owner', ARGV[1], 'epoch', epoch,
  'lease_until', text(now + tonumber(ARGV[4])), 'term_ms', ARGV[4], 'tail', tail, 'base', tail)
return {'OK', epoch, tail}
