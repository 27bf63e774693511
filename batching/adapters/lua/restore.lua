#!lua flags=allow-oom
--[[ restore: open buffers without content for what is parked, so that they are sealed in time.

ARGV  for each buffer   key, head, state
      head: doubles last, bytes, due, of all that is parked of the key
Gives the keys whose buffers were not there; one that is there stays as it is.
--]]
local answer = {}
for j = 1, #ARGV, 3 do
  local key, state = ARGV[j], ARGV[j + 2]
  local b = T .. 'b:' .. key
  if call('EXISTS', b) == 0 then
    local last, bytes, due = up('<ddd', ARGV[j + 1])
    call('ZADD', OPEN, 'inf', key)
    call('RPUSH', b, teller(last, bytes, due, state))
    answer[#answer + 1] = key
  end
end
return answer
