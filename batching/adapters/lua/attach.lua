#!lua flags=allow-oom
--[[ attach: raise w to the checkpoint, never lower it.

ARGV  1 checkpoint   2 manifest
Gives w.
--]]
rely_on(ARGV[2])
local w = math.max(number_at(W), tonumber(ARGV[1]))
call('SET', W, text(w))
return w
