#!lua flags=allow-oom
--[[ seal_open: seal open buffers whatever their due time, those first that hold the oldest events.

ARGV  1 reason   2 limit   3 now, microseconds
Gives the keys that were sealed.
--]]
local answer = {}
for _, key in ipairs(call('ZRANGE', OPEN, 0, tonumber(ARGV[2]) - 1)) do
  if seal(key, ARGV[1], tonumber(ARGV[3])) then
    answer[#answer + 1] = key
  end
end
return answer
