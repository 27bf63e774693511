#!lua flags=no-writes
--[[ low: w, and what is not durable elsewhere.

ARGV  1 sealed buffers to look at; where there are more, their bytes are extrapolated, so that
        a long outage of the store does not make this call long
Gives {w, lowest `lo` as text ('' if none), sealed buffers, their bytes, time of the oldest seal,
      microseconds, -1 if none}.
--]]
local waiting = call('ZCARD', OUT)
local seen, sum, oldest = 0, 0, -1
for _, id in ipairs(call('ZRANGE', OUT, 0, tonumber(ARGV[1]) - 1)) do
  local events, _, _, bytes, _, sealed = totals(T .. 'q:' .. id)
  if events then
    seen, sum = seen + 1, sum + bytes
    oldest = oldest < 0 and sealed or oldest
  else
    waiting = waiting - 1
  end
end
if seen > 0 and waiting > seen then
  sum = sum * waiting / seen
end
local lo = call('ZRANGE', LO, 0, 0, 'WITHSCORES')[2] or ''
return {number_at(W), lo, waiting, sum, oldest}
