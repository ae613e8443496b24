-- Gives the lease of a partition, under a new epoch, higher than all before it.
-- KEYS: m, l, and the first chunk of the snapshot that the caller knows of, if it does. ARGV: owner, epoch after which the
-- new one comes (not 0: an owner claims again), partitions, term in ms, whom it may be taken from by force ('1': anybody),
-- '1' if a partition that is not there may be begun; of an owner that claims again: the tail that it was told, how far it
-- has sent records, the epoch that it followed when it came, and the fields of `:m` that it was told of a snapshot, each with
-- its value.
local m, l, owner, after = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local again, force = after > 0, ARGV[5]
local kind, log = redis.call('TYPE', m).ok, redis.call('TYPE', l).ok
if kind ~= 'none' and kind ~= 'hash' then return {'FOREIGN', m} end
if log ~= 'none' and log ~= 'stream' then return {'FOREIGN', l} end
local got = redis.call('HMGET', m, 'format', 'partitions', 'owner', 'epoch', 'tail', 'lease_until', 'term_ms')
local format, theirs, epoch, tail, ends = got[1], got[3], tonumber(got[4]), tonumber(got[5]), tonumber(got[6])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lost = kind == 'none' and m
if kind == 'hash' then
  if not format and not (theirs and (epoch or theirs == owner)) then return {'FOREIGN', m} end
  if format and format ~= FORMAT then return {'FORMAT', m, format, theirs == owner and 'ours' or ''} end
  local count = tonumber(got[2])
  if count and got[2] ~= ARGV[3] and not again then return {'PARTITIONS', got[2]} end
  lost = not format and 'format' or not count and 'partitions' or not theirs and 'owner' or not epoch and 'epoch'
    or not tail and 'tail'
  -- Nobody but this owner has written, and not that far.
  if again and theirs == owner and (tail or 0) > tonumber(ARGV[8]) then lost, tail = 'tail', nil end
end
-- An owner that claims again, after Redis has lost something, and comes after another has taken over. That one need not have
-- the higher epoch: the clock may have been ahead when this owner got its own. But it was not there when this owner came.
if again and (epoch or math.huge) > tonumber(ARGV[9]) and (theirs or owner) ~= owner then
  return {'FENCED', theirs, got[4] or '?'}
end
if again and lost then
  if epoch and epoch > after and not theirs then return {'FENCED', '?', got[4]} end
  -- Only the log can tell of another by now.
  local newer = log == 'stream' and redis.call('XRANGE', l, text(after + 1) .. '-0', '+', 'COUNT', '1')[1]
  if newer then return {'FENCED', '?', string.match(newer[1], '^%d+')} end
end
if format and theirs and theirs ~= owner and force ~= '1' and force ~= theirs then
  local term = tonumber(got[7]) or tonumber(ARGV[4])
  local left = (ends or math.huge) - now
  -- What is left of a lease is never more than its term. It was more if the clock was ahead when it was proved; who asks
  -- first says so, and from then on it runs.
  if left > term then
    left = term
    although_full()
    redis.call('HSET', m, 'lease_until', text(now + term))
  end
  if left > 0 then return {'HELD', theirs, text(left)} end
end
if not again then
  if log ~= 'none' and kind == 'none' then return {'ORPHAN', l} end
  if kind == 'none' and ARGV[6] ~= '1' then return {'NONE', m} end
  if kind == 'hash' and lost then return {'DAMAGED', m, lost} end
end

-- All that an owner will want to write has to be allowed now, rather than half of it later.
if redis.acl_check_cmd then
  local needed = {{'HSET', m, 'tail', '0'}, {'HDEL', m, '-'}, {'XADD', l, '*', 'b', ''}, {'XTRIM', l, 'MINID', '0'},
    {'SET', m, ''}, {'GET', m}, {'UNLINK', m}, {'XRANGE', l, '-', '+'}, {'XLEN', l}, {'STRLEN', m}}
  for _, command in ipairs(needed) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM the user may not run ' .. command[1] .. ' on ' .. command[2])
    end
  end
end

local new = text(math.max((epoch or 0) + 1, after + 1, now))
-- An entry of somebody else, after which nothing could be added.
local foreign = again and log == 'stream' and redis.call('XRANGE', l, new .. '-0', '+', 'COUNT', '1')[1]
if foreign then return {'FOREIGN', l} end
local fields = {}
-- Of what `:m` was to tell there still is something: it tells so again, so that nothing is lost, or taken for nothing, if
-- this owner ends before it has written everything anew.
local has_left = log ~= 'none' or (KEYS[3] and redis.call('EXISTS', KEYS[3]) == 1)
if again and lost and has_left then
  tail = math.max(tail or 0, tonumber(ARGV[7]))
  if kind == 'none' then fields = {unpack(ARGV, 10)} end
end
tail = text(tail or 0)
for _, word in ipairs({'format', FORMAT, 'partitions', ARGV[3], 'owner', owner, 'epoch', new, 'lease_until',
  text(now + tonumber(ARGV[4])), 'term_ms', ARGV[4], 'tail', tail, 'base', tail}) do
  fields[#fields + 1] = word
end
although_full()
redis.call('HSET', m, unpack(fields))
return {'OK', new, tail, text(epoch or 0)}
