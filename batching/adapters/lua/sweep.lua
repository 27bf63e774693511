#!lua flags=allow-oom
--[[ sweep: seal open buffers that were due by the horizon, as max_age.

ARGV  1 horizon, microseconds   2 limit   3 now, microseconds
Gives {next due time as text ('' if none, 'inf' if only buffers without), key, due, key, due...}.
--]]
local answer = {''}
for _, key in ipairs(call('ZRANGE', DUE, '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  local due = seal(key, 'max_age', tonumber(ARGV[3]))
  if due then
    answer[#answer + 1] = key
    answer[#answer + 1] = due
  end
end
answer[1] = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or ''
return answer
