#!lua flags=no-writes
--[[ opened: one page of the open buffers; read on until the cursor is 0 again.

ARGV  1 cursor, 0 at first   2 buffers, about
Gives {cursor, key, items, head of the last one, key, items, head...}; a key may come twice while
      buffers come and go.
--]]
local page = call('ZSCAN', OPEN, ARGV[1], 'COUNT', ARGV[2])
local answer = {page[1]}
for j = 1, #page[2], 2 do
  local key = page[2][j]
  local b = T .. 'b:' .. key
  local item = call('LINDEX', b, -1)
  if item then
    local _, _, _, _, _, behind = told(b, item)
    answer[#answer + 1] = key
    answer[#answer + 1] = call('LLEN', b)
    answer[#answer + 1] = string.sub(item, 1, behind - 1)
  end
end
return answer
