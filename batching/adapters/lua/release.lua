#!lua flags=allow-oom
--[[ release: let what is durable leave open buffers; buffers and their totals stay.

ARGV  1 manifest   then for each buffer   key, mark
Elements that end at or below the mark leave, up to the first that reaches over it. `lo` becomes
the lowest number above the mark that may be there, and goes if there is none; it never falls.
`lo` moves before elements leave: below it all is durable, whatever is still in the list.
Gives how many elements left.
--]]
rely_on(ARGV[1])
local answer = 0
for j = 2, #ARGV, 2 do
  local key, mark = ARGV[j], tonumber(ARGV[j + 1])
  local b = T .. 'b:' .. key
  if totals(b) then
    local gone, lowest = 0, nil
    for at, item in ipairs(call('LRANGE', b, 1, -1)) do
      local first, last = up('<dd', item)
      if first ~= -1 and last > mark then
        lowest = math.min(lowest or math.huge, math.max(first, mark + 1))
      elseif gone == at - 1 then
        gone = at
      end
    end
    if lowest then
      call('ZADD', LO, 'XX', 'GT', text(lowest), 'b' .. key)
    else
      call('ZREM', LO, 'b' .. key)
    end
    if gone > 0 then
      call('LSET', b, gone, call('LINDEX', b, 0))
      call('LTRIM', b, gone, -1)
    end
    answer = answer + gone
  end
end
return answer
