-- Opens a generation for a snapshot, one that was never used before. What an earlier snapshot has left has to be swept
-- first: the one that was replaced, or one that was never published.
-- KEYS: m. ARGV: owner, epoch, a generation to give up or nothing to open one.
local got, refusal = fence('open', 'open_end', 'old', 'old_end', 'last_gen', 'gen')
if refusal then return refusal end
local open, old, old_end = got[5] or '', got[7] or '', got[8]
if old ~= '' and (not tonumber(old) or old == got[10]) then
  -- It names nothing that could be removed.
  although_full()
  redis.call('HSET', KEYS[1], 'old', '', 'old_end', '0')
  old = ''
end
local given_up = ARGV[3] == '' or ARGV[3] == open
if old == '' and open ~= '' and given_up then
  -- From here on its writer, if there still is one, writes nothing more.
  although_full()
  redis.call('HSET', KEYS[1], 'old', open, 'old_end', got[6] or '0', 'open', '')
  old, old_end = open, got[6]
end
if old ~= '' then return {'LEFT', old, old_end or '0'} end
if ARGV[3] ~= '' then return {'OK'} end
-- By the clock too, so that it is new even where `:m` was lost and chunks were not.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local new = text(math.max((tonumber(got[9]) or 0) + 1, now))
although_full()
redis.call('HSET', KEYS[1], 'open', new, 'open_chunks', '0', 'open_end', '0', 'last_gen', new)
return {'OK', new}
