#!lua
--[[ append: add everything in (prev, last], or nothing.

ARGV  1 prev   2 last   3 manifest   4 now, microseconds
      then for each group   key, head, state, element
      head: doubles believed, events, due, then seal_before and seal_after, each ended by zero
      (empty: not sealed); element: doubles first, last, then encoded chunks
Gives {outcome, w, keys sealed as resync...}; outcome GAP (w < prev) and BEHIND (w > prev)
      changed nothing. A group whose `believed` is not what the buffer holds is kept like any
      other, and its buffer sealed right after. w moves last of all: a torn call is repeated.
--]]
local prev, last_of_all, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local w = number_at(W)
if w < prev then
  return {'GAP', w}
end
if w > prev then
  return {'BEHIND', w}
end
rely_on(ARGV[3])
local answer = {'OK', math.max(w, last_of_all)}
for j = 5, #ARGV, 4 do
  local key, state, element = ARGV[j], ARGV[j + 2], ARGV[j + 3]
  local believed, events, due, before, after = up('<dddss', ARGV[j + 1])
  local first, last = up('<dd', element)
  local bytes, had, b = #element - 16, 0, T .. 'b:' .. key
  if before ~= '' then
    seal(key, before, now)
  end
  local head = call('LINDEX', b, 0)
  if head then
    local had_first, had_last, had_bytes
    had, had_first, had_last, had_bytes, due = totals(b, head)
    first, last = math.min(had_first, first), math.max(had_last, last)
    bytes = had_bytes + bytes
  else
    call('ZADD', DUE, due, key)
  end
  local all = packed(had + events, first, last, bytes, due, 0, '', state)
  call('ZADD', LO, 'NX', up('<d', element), 'b' .. key)
  if head then
    call('RPUSH', b, element)
    call('LSET', b, 0, all)
  else
    call('RPUSH', b, all, element)
  end
  if had ~= believed then
    seal(key, 'resync', now)
    answer[#answer + 1] = key
  elseif after ~= '' then
    seal(key, after, now)
  end
end
call('SET', W, text(answer[2]))
return answer
