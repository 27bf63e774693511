#!lua flags=allow-oom
--[[ parkable: open buffers that hold the checkpoint back, with their content, of one moment.

ARGV  1 highest `lo` that counts   2 bytes, which the first buffer alone may exceed   3 buffers
Gives {key, list, key, list...} by rising `lo`; it stops at the first sealed buffer, whose events
      come before those of the same key that are open. A name without its list (a script died
      while it appended) is dropped: the append is repeated, or its events are read again.
--]]
local max_bytes, sum, answer = tonumber(ARGV[2]), 0, {}
local sealed = call('ZRANGE', LO, 0, 0, 'WITHSCORES')[2]
local upto = math.min(tonumber(ARGV[1]), tonumber(sealed or 'inf'))
local found = call('ZRANGE', OPEN, '-inf', text(upto), 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, key in ipairs(found) do
  local list = call('LRANGE', T .. 'b:' .. key, 0, -1)
  if #list == 0 then
    unname_open(key)
  else
    for _, item in ipairs(list) do
      sum = sum + #item
    end
    if #answer > 0 and sum > max_bytes then
      break
    end
    answer[#answer + 1] = key
    answer[#answer + 1] = list
  end
end
return answer
