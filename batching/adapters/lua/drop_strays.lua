#!lua flags=allow-oom
--[[ drop_strays: drop lists that nothing names, such as another version may have left.

ARGV  names without the prefix: b:<key> or q:<id>
Gives how many were dropped.
--]]
local dropped = 0
for _, name in ipairs(ARGV) do
  local kind, rest = string.sub(name, 1, 2), string.sub(name, 3)
  if (kind == 'b:' and not call('ZSCORE', OPEN, rest)) or
     (kind == 'q:' and not call('ZSCORE', OUT, rest)) then
    dropped = dropped + call('UNLINK', T .. name)
  end
end
return dropped
