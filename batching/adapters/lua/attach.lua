#!lua flags=allow-oom
--[[ attach: raise w to the checkpoint, never lower it.

ARGV  1 checkpoint
Gives w.
--]]
local w = math.max(number_at(W), tonumber(ARGV[1]))
call('SET', W, text(w))
return w
