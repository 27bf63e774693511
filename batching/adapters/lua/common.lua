--[[ common: what all scripts share; it stands before each of them, after the line of flags.

Every script has one key, KEYS[1] = `T w`; T is the prefix of one partition, and all other keys
are built from it, so that they lie in the same slot.

    T w          everything up to this sequence number has been appended
    T k          counter of seals
    T n          highest manifest number that what is here relies on
    T b:<key>    LIST of an open buffer: its totals, then elements
    T q:<id>     the same list once sealed; id = <k>:<key>
    T due        ZSET <key> -> time at which its open buffer must be sealed, microseconds UTC
    T out        ZSET <id> -> k: sealed and not yet acknowledged
    T lo         ZSET b<key> or q<id> -> lowest sequence number that is not durable elsewhere

An element is two doubles (first, last sequence number) and encoded chunks. Totals are seven
doubles (-1, events, first, last, bytes, due, sealed), the reason ended by a zero byte, and the
owner's state. An element never begins with -1.

Writes stand in an order in which a script that dies between any two of them can be repeated:
what names a buffer is written before it and deleted after it, and elements are pushed before
the totals count them and leave after the totals have moved behind them. So an element may be
there that no totals count, or older totals inside a list; readers pass over those, and take
each number once.
--]]
local call, up, pk = redis.call, struct.unpack, struct.pack
local T = string.sub(KEYS[1], 1, -2)
local W, K, N = KEYS[1], T .. 'k', T .. 'n'
local DUE, OUT, LO = T .. 'due', T .. 'out', T .. 'lo'

-- A whole number as text: tostring() would round it to 14 digits.
local function text(number)
  return string.format('%.0f', number)
end

local function number_at(key)
  return tonumber(call('GET', key) or '-1')
end

-- Remember the newest manifest that a caller's view holds: events were left out or dropped on
-- its word, so a log that ends before it belongs to an older store.
local function rely_on(manifest)
  if tonumber(manifest) > number_at(N) then
    call('SET', N, manifest)
  end
end

-- Totals of a list: events, first, last, bytes, due, sealed, reason, state; nothing if no list.
local function totals(list, head)
  head = head or call('LINDEX', list, 0)
  if not head then
    return nil
  end
  if #head < 57 or up('<d', head) ~= -1 then
    error(redis.error_reply('TORN ' .. list .. ' does not begin with its totals'))
  end
  local _, events, first, last, bytes, due, sealed, reason, rest = up('<ddddddds', head)
  return events, first, last, bytes, due, sealed, reason, string.sub(head, rest)
end

local function packed(events, first, last, bytes, due, sealed, reason, state)
  return pk('<ddddddds', -1, events, first, last, bytes, due, sealed, reason) .. state
end

-- Take away the names of a list that is gone; the one by which it is found again goes last.
local function unname_open(key)
  call('ZREM', LO, 'b' .. key)
  call('ZREM', DUE, key)
end

local function unname_sealed(id)
  call('ZREM', LO, 'q' .. id)
  call('ZREM', OUT, id)
end

-- Seal an open buffer; its due time, or nothing if there is none (then its names go too).
local function seal(key, reason, now)
  local b = T .. 'b:' .. key
  local events, first, last, bytes, due, _, _, state = totals(b)
  if not events then
    unname_open(key)
    return nil
  end
  local k = call('INCR', K)
  local id = text(k) .. ':' .. key
  local lo = call('ZSCORE', LO, 'b' .. key)
  call('ZADD', OUT, k, id)
  if lo then
    call('ZADD', LO, lo, 'q' .. id)
  end
  call('LSET', b, 0, packed(events, first, last, bytes, due, now, reason, state))
  call('RENAME', b, T .. 'q:' .. id)
  unname_open(key)
  return due
end

