#!lua
--[[ append: add everything in (prev, last], or nothing.

ARGV  1 prev   2 last   3 manifest   4 now, microseconds   5 groups, one behind the other:
      lengths of key (2 bytes) and item (4 bytes), believed (4 bytes), 1 if it seals else 0;
      key and item; if it seals, seal_before and seal_after, each ended by zero (empty: not)
Gives {outcome, w, keys sealed as resync...}; outcome GAP (w < prev) and BEHIND (w > prev)
      changed nothing. `believed` is how many items the owner thinks the buffer has (0: none is
      open). Where that is wrong the item is kept like any other, and the buffer sealed right
      after. w moves last of all: a torn call is repeated.
--]]
local prev, last_of_all, now, groups = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[4], ARGV[5]
local w = number_at(W)
if w < prev then
  return {'GAP', w}
end
if w > prev then
  return {'BEHIND', w}
end
rely_on(ARGV[3])
local answer, at, size, sub = {'OK', math.max(w, last_of_all)}, 1, #groups, string.sub

local function name(key, item)
  local _, first = up('<Bd', item)
  call('ZADD', OPEN, 'LT', first, key)
end

-- A shell in the place of the one item that the owner knows: it tells of other bytes.
local function another(b, item)
  local _, bytes, _, _, _, behind = told(b, item)
  local _, before = told(b, call('LINDEX', b, 0))
  return before + #item - behind + 1 ~= bytes
end

while at <= size do
  local key_size, item_size, believed, seals, key, item
  key_size, item_size, believed, seals, at = up('<HI4I4B', groups, at)
  key, at = sub(groups, at, at + key_size - 1), at + key_size
  item, at = sub(groups, at, at + item_size - 1), at + item_size
  local before, after, b = '', '', T .. 'b:' .. key
  if seals == 1 then
    before, after, at = up('<ss', groups, at)
  end
  if before ~= '' then
    seal(key, before, now)
  end
  if believed == 0 then
    name(key, item)
  end
  local found = call('RPUSH', b, item)
  local wrong = found ~= believed + 1
  if wrong or found == 2 then
    name(key, item) -- it may be named `inf`: all that was here was parked
    wrong = wrong or another(b, item)
  end
  if wrong then
    seal(key, 'resync', now)
    answer[#answer + 1] = key
  elseif after ~= '' then
    seal(key, after, now)
  end
end
call('SET', W, text(answer[2]))
return answer
