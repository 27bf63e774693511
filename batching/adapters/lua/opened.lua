#!lua flags=no-writes
--[[ opened: one page of the open buffers; read on until the cursor is 0 again.

ARGV  1 cursor, 0 at first   2 buffers, about
Gives {cursor, key, totals, key, totals...}; a key may come twice while buffers come and go.
--]]
local page = call('ZSCAN', DUE, ARGV[1], 'COUNT', ARGV[2])
local answer = {page[1]}
for j = 1, #page[2], 2 do
  local b = T .. 'b:' .. page[2][j]
  local head = call('LINDEX', b, 0)
  if head and totals(b, head) then
    answer[#answer + 1] = page[2][j]
    answer[#answer + 1] = head
  end
end
return answer
