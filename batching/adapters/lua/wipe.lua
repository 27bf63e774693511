#!lua flags=allow-oom
--[[ wipe: drop every key of the partition that a name leads to, w first.

In one step, since a buffer that outlived w would be filled again by a replay, with a hole.
Gives how many buffers were dropped.
--]]
call('UNLINK', W, N)
local keys, ids = call('ZRANGE', DUE, 0, -1), call('ZRANGE', OUT, 0, -1)
for _, key in ipairs(keys) do
  call('UNLINK', T .. 'b:' .. key)
end
for _, id in ipairs(ids) do
  call('UNLINK', T .. 'q:' .. id)
end
call('UNLINK', K, DUE, OUT, LO)
return #keys + #ids
