#!lua flags=allow-oom
--[[ peek: the oldest sealed buffers with their content, of one moment, in order of k.

ARGV  1 bytes, which the first buffer alone may exceed   2 buffers
Gives {id, list, id, list...}. A name without its list (a script died while it sealed or
      acknowledged) is dropped: the buffer is open still, or gone because it is durable.
--]]
local max_bytes, sum, answer = tonumber(ARGV[1]), 0, {}
for _, id in ipairs(call('ZRANGE', OUT, 0, tonumber(ARGV[2]) - 1)) do
  local list = T .. 'q:' .. id
  local last, bytes = told(list)
  if not last then
    unname_sealed(id)
  else
    sum = sum + bytes
    if #answer > 0 and sum > max_bytes then
      break
    end
    answer[#answer + 1] = id
    answer[#answer + 1] = call('LRANGE', list, 0, -1)
  end
end
return answer
