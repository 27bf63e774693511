#!lua flags=allow-oom
--[[ ack: drop sealed buffers whose content a manifest holds.

ARGV  1 manifest number   then for each buffer   id, last
Gives how many were dropped: those that are there and end at or below `last`.
--]]
rely_on(ARGV[1])
local dropped = 0
for j = 2, #ARGV, 2 do
  local id = ARGV[j]
  local last = told(T .. 'q:' .. id)
  if not last then
    unname_sealed(id)
  elseif last <= tonumber(ARGV[j + 1]) then
    call('UNLINK', T .. 'q:' .. id)
    unname_sealed(id)
    dropped = dropped + 1
  end
end
return dropped
