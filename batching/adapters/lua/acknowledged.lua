#!lua flags=no-writes
--[[ acknowledged: the highest manifest number that what is here relies on.

Gives the number, -1 if none.
--]]
return number_at(N)
