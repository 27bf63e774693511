#!lua flags=no-writes
--[[ low: w, and what is not durable elsewhere.

ARGV  1 sealed buffers to look at; where there are more, their bytes are extrapolated, so that
        a long outage of the store does not make this call long
A name without its list counts as a buffer, so that peek is called, which drops it.
Gives {w, lowest `lo` as text ('' if none), sealed buffers, their bytes, time of the oldest seal,
      microseconds, -1 if none, highest manifest that all this relies on, -1 if none, names of
      open buffers}.
--]]
local waiting = call('ZCARD', OUT)
local sum, oldest = 0, -1
local ids = call('ZRANGE', OUT, 0, tonumber(ARGV[1]) - 1)
for _, id in ipairs(ids) do
  local last, bytes, _, sealed = told(T .. 'q:' .. id)
  if last then
    sum = sum + bytes
    oldest = oldest < 0 and sealed or oldest
  end
end
if waiting > #ids and #ids > 0 then
  sum = sum * waiting / #ids
end
local lowest = math.huge
for _, set in ipairs({OPEN, LO}) do
  lowest = math.min(lowest, tonumber(call('ZRANGE', set, 0, 0, 'WITHSCORES')[2] or 'inf'))
end
local lo = lowest < math.huge and text(lowest) or ''
return {number_at(W), lo, waiting, sum, oldest, number_at(N), call('ZCARD', OPEN)}
