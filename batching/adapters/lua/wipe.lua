#!lua flags=allow-oom
--[[ wipe: drop every key of the partition that a name leads to, w first.

In one step, since a buffer that outlived w would be filled again by a replay, with a hole.
Gives how many buffers were dropped.
--]]
call('UNLINK', W, N)
local due, buffers = T .. 'due', 0 -- older layouts named their open buffers there
for set, kind in pairs({[OPEN] = 'b:', [due] = 'b:', [OUT] = 'q:'}) do
  for _, name in ipairs(call('ZRANGE', set, 0, -1)) do
    buffers = buffers + call('UNLINK', T .. kind .. name)
  end
end
call('UNLINK', K, OPEN, due, OUT, LO)
return buffers
