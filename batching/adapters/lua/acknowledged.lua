#!lua flags=no-writes
--[[ acknowledged: the highest manifest number acknowledged here.

Gives the number, -1 if none.
--]]
return number_at(N)
