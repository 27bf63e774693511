--[[ common: what all scripts share; it stands before each of them, after the line of flags.

Every script has one key, KEYS[1] = `T w`; T is the prefix of one partition, and all other keys
are built from it, so that they lie in the same slot.

    T w          everything up to this sequence number has been appended
    T k          counter of seals
    T n          highest manifest number that what is here relies on
    T b:<key>    LIST of an open buffer: items
    T q:<id>     the same list once sealed; id = <k>:<key>
    T open       ZSET <key> -> lowest sequence number in its open buffer that is not durable
                 elsewhere, `inf` if all of it is; no buffer is open that is not named here
    T out        ZSET <id> -> k: sealed and not yet acknowledged
    T lo         ZSET <id> -> as in `open`, of a sealed buffer; none where all of it is durable

An item is a head and encoded chunks. The head: byte 3 (the layout), doubles first and last
(sequence numbers of the chunks) and due (when age ends the buffer, microseconds UTC), the bytes
of the buffer up to here (parked events too) in four bytes, the reason ended by a zero byte (empty
while open; else the double `sealed` follows), the length of the owner's state in a byte, the
state. So the last item tells all about its buffer, and a push is all that an append needs. An
item without chunks only tells: it stands where all that came before is parked, and at the end of
a sealed buffer.

Writes stand in an order in which a script that dies between any two of them can be repeated:
what names a buffer is written before it and deleted after it. An item may then come twice;
readers take each number once.
--]]
local call, up, pk = redis.call, struct.unpack, struct.pack
local T = string.sub(KEYS[1], 1, -2)
local W, K, N = KEYS[1], T .. 'k', T .. 'n'
local OPEN, OUT, LO = T .. 'open', T .. 'out', T .. 'lo'

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

-- What the last item of a list says: last, bytes, due, sealed, state; nothing if no list.
local function told(list, item)
  item = item or call('LINDEX', list, -1)
  if not item then
    return nil
  end
  if string.byte(item) ~= 3 then
    error(redis.error_reply('TORN ' .. list .. ' has an item of another layout'))
  end
  local _, _, last, due, bytes, reason, at = up('<BdddI4s', item)
  local sealed = 0
  if reason ~= '' then
    sealed, at = up('<d', item, at)
  end
  local size = string.byte(item, at)
  return last, bytes, due, sealed, string.sub(item, at + 1, at + size), at + 1 + size
end

-- Spell an item without chunks.
local function teller(last, bytes, due, state, reason, sealed)
  local head = pk('<BdddI4s', 3, last, last, due, bytes, reason or '')
  if reason then
    head = head .. pk('<d', sealed)
  end
  return head .. pk('<B', #state) .. state
end

-- Take away the names of a list that is gone; the one by which it is found again goes last.
local function unname_open(key)
  call('ZREM', OPEN, key)
end

local function unname_sealed(id)
  call('ZREM', LO, id)
  call('ZREM', OUT, id)
end

-- Seal an open buffer; true, or false if there is none (then its name goes too).
local function seal(key, reason, now)
  local b = T .. 'b:' .. key
  local last, bytes, due, _, state = told(b)
  if not last then
    unname_open(key)
    return false
  end
  local k = call('INCR', K)
  local id = text(k) .. ':' .. key
  local lo = call('ZSCORE', OPEN, key)
  call('ZADD', OUT, k, id)
  if lo and lo ~= 'inf' then
    call('ZADD', LO, lo, id)
  end
  call('RPUSH', b, teller(last, bytes, due, state, reason, now))
  call('RENAME', b, T .. 'q:' .. id)
  unname_open(key)
  return true
end

