#!lua flags=allow-oom
--[[ seal_keys: seal the open buffers of the keys given, whatever their due time.

ARGV  1 reason   2 now, microseconds   then keys
Gives the keys that were sealed: those that were open.
--]]
local answer = {}
for j = 3, #ARGV do
  if seal(ARGV[j], ARGV[1], tonumber(ARGV[2])) then
    answer[#answer + 1] = ARGV[j]
  end
end
return answer
