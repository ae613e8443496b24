-- Put before every script that writes to a partition. KEYS[1] is `:m`, ARGV[1] the caller's owner, ARGV[2] its epoch.
--
-- A script answers with a list: a word, and what belongs to it. Numbers go both ways as text: Lua would write large ones
-- with an exponent. What they count stays below 2^53, where Lua's are exact.
--
-- A script is never half applied. Where there is more than one write, the first is one that Redis refuses when it refuses
-- any (out of memory, read-only, disk or replicas missing): these are judged before the first write and not after.
local FORMAT = 'reveille/2'

local function text(number)
  return string.format('%.0f', number)
end

-- Redis' own WRONGTYPE does not say which key it was.
local function failed(key, reply)
  if string.find(reply.err, 'WRONGTYPE', 1, true) then return {'FOREIGN', key} end
  return reply
end

-- What `:m` says if the caller may write: format, owner, epoch, tail, and the fields that are asked for. Otherwise nil, and
-- the answer that says why not. A field that is gone from a hash in the caller's own name has been lost; a hash that bears
-- nobody's name is not ours.
local function fence(...)
  local m, mine = KEYS[1], tonumber(ARGV[2])
  local got = redis.pcall('HMGET', m, 'format', 'owner', 'epoch', 'tail', ...)
  if got.err then return nil, failed(m, got) end
  local format, owner, epoch = got[1], got[2], tonumber(got[3])
  if not format and owner ~= ARGV[1] then
    return nil, redis.call('EXISTS', m) == 1 and {'FOREIGN', m} or {'GONE', m}
  end
  local is_another = owner and owner ~= ARGV[1]
  if format and format ~= FORMAT and not (is_another and epoch and epoch > mine) then
    return nil, {'FORMAT', m, format, owner == ARGV[1] and 'ours' or ''}
  end
  if epoch and epoch < mine then return nil, {'BACK', got[3]} end
  -- A claim of its own, whose answer was lost.
  if epoch and epoch > mine and owner == ARGV[1] then return nil, {'CLAIMED', got[3]} end
  if is_another or (epoch and epoch > mine) then return nil, {'FENCED', owner or '?', got[3] or '?'} end
  local lost = not format and 'format' or not owner and 'owner' or not epoch and 'epoch'
    or not tonumber(got[4]) and 'tail'
  if lost then return nil, {'DAMAGED', m, lost} end
  return got
end

-- Lets the writes after it through when Redis is at its maxmemory: a script that has written already is not stopped, and
-- HDEL is never refused. Only for scripts that change fields of a fixed size: a lease has to be kept, and a snapshot that
-- is written gives memory back.
local function although_full()
  redis.call('HDEL', KEYS[1], '-')
end

