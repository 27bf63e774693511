#!lua flags=allow-oom
--[[ release: let what is durable leave open buffers; buffers stay, and what is told of them.

ARGV  1 manifest   then for each buffer   key, mark
Items that end at or below the mark leave, up to the first that reaches over it; where none is
left, one without chunks tells of them. The score in `open` becomes the lowest number above the
mark that may be there, `inf` if there is none; it never falls. It moves last: too low for a while
only keeps the checkpoint back, but what another owner appends to a list that still has items,
because this died, would not be named if the score were `inf` already.
Gives {items with chunks that left, key, items that are left, key, items...}, for those buffers
that there are.
--]]
rely_on(ARGV[1])
local answer = {0}
for j = 2, #ARGV, 2 do
  local key, mark = ARGV[j], tonumber(ARGV[j + 1])
  local b = T .. 'b:' .. key
  local list = call('LRANGE', b, 0, -1)
  if #list > 0 then
    local gone, lowest, left = 0, nil, #list
    for at, item in ipairs(list) do
      local last, _, _, _, _, behind = told(b, item)
      local _, first = up('<Bd', item)
      if behind <= #item and last > mark then
        lowest = math.min(lowest or math.huge, math.max(first, mark + 1))
      elseif gone == at - 1 then
        gone = at
        if behind <= #item then
          answer[1] = answer[1] + 1
        end
      end
    end
    if gone == #list then
      local last, bytes, due, _, state, behind = told(b, list[gone])
      if behind <= #list[gone] then
        call('RPUSH', b, teller(last, bytes, due, state))
        left = left + 1
      else
        gone = gone - 1
      end
    end
    if gone > 0 then
      call('LTRIM', b, gone, -1)
    end
    call('ZADD', OPEN, 'XX', 'GT', lowest and text(lowest) or 'inf', key)
    answer[#answer + 1] = key
    answer[#answer + 1] = left - gone
  end
end
return answer
