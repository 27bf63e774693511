#!lua flags=allow-oom
--[[ forget: drop an open buffer all of whose events are durable.

ARGV  1 key   2 upto   3 manifest
Gives 1 if it was dropped, 0 if there is none or it ends above `upto`.
--]]
local key = ARGV[1]
local last = told(T .. 'b:' .. key)
if last and last > tonumber(ARGV[2]) then
  return 0
end
rely_on(ARGV[3])
call('UNLINK', T .. 'b:' .. key)
unname_open(key)
return last and 1 or 0
