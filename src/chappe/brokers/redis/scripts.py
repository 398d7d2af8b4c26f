"""What runs inside the server: each script does all of one thing, so that nobody ever sees half of it.

Keys, all with the prefix and, in a cluster, the hash tag of the channel's partition:

- `s`, a hash, for each partition: `g` its generation, `v` the run id of the server that served it last, `n` its log
  position, `f` the log position of the last channel that was forgotten.
- `i`, a sorted set: channels by the log position of their last publication.
- `R`, a set: channels whose retained slot is filled.
- `m:<channel>`, a hash: `e` epoch, `g` the generation it was given in, `o` last offset, `l` its log position, `t` log
  position of the last publication that is not kept (any more), `x` that of the last transient one, `r` retained slot,
  `z` that there is one, `a` how long publications are kept, ms.
- `h:<channel>`, a list: what is kept, oldest first, each `<time ms>:<log>:<entry>`. Offsets have no gaps, so the place
  in the list tells the offset.
- `k:<owner's length>:<owner>:<key>:<channel>`, a string: the position that an idempotency key got.

A new generation makes every epoch before it void: it begins when another server serves, which may lack what was told.
"""

import hashlib
from typing import Final

import msgspec

from chappe.hub.contracts import IDEMPOTENCY_S

#: How long a channel that nobody uses keeps its epoch, at least: longer than clients try to come back at full pace.
META_AGE_S: Final = 600.0
#: How often those who publish renew the life of a channel's keys, which live so much longer than they must.
RENEWAL_S: Final = 60.0


class Script(msgspec.Struct, frozen=True):
    """Hold a script and the name by which a server that has it calls it."""

    text: str
    sha: str


#: `place` returns where a channel is and makes what is not there; `trim` lets go what is too old.
_SHARED: Final = """
local function number(n) return string.format('%.0f', n) end

local function place(meta, list, state, index, channel, known, fresh, server, ttl)
  local m = redis.call('HMGET', meta, 'e', 'g', 'o', 'l', 'z', 'a')
  local at = {g = known, epoch = m[1], offset = m[3] or '0', log = m[4], slot = m[5], age = m[6]}
  if m[1] and m[2] == known then return at end
  local g = redis.call('HGET', state, 'g')
  if not g then
    g = fresh
    redis.call('HSET', state, 'g', g, 'v', server)
  end
  at.g = g
  if m[1] and m[2] == g then return at end
  at.epoch = fresh
  redis.call('HSET', meta, 'e', fresh, 'g', g, 'o', at.offset)
  if not m[1] then
    local forgotten = redis.call('ZSCORE', index, channel)
    if forgotten then redis.call('HSET', meta, 't', forgotten) end
    redis.call('DEL', list)
    redis.call('PEXPIRE', meta, ttl)
  end
  return at
end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function trim(list, now, age)
  local gone
  while true do
    local oldest = redis.call('LINDEX', list, 0)
    if not oldest or tonumber(string.match(oldest, '^%d+')) > now - age then return gone end
    gone = string.match(oldest, '^%d+:(%d+)')
    redis.call('LPOP', list)
  end
end
"""

#: ARGV[6] says what: `s` store, `t` transient, `r` retain as well, `c` clear the retained slot as well. ARGV[9] is
#: empty if the lives of the keys were renewed lately. The answer is the position, or a code and the position.
_APPEND: Final = """
local meta, list, state, index, slots = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local entry, channel, what = ARGV[1], ARGV[2], ARGV[6]
local count, age, ttl = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local at = place(meta, list, state, index, channel, ARGV[3], ARGV[4], ARGV[5], META_MS)
local epoch, offset = at.epoch, at.offset

if KEYS[6] then
  local known = redis.call('GET', KEYS[6])
  if known then return {1, known} end
end
if ARGV[11] ~= '' and (ARGV[11] ~= offset or (ARGV[10] ~= '' and ARGV[10] ~= epoch)) then
  return {114, epoch .. ':' .. offset}
end

local log = number(redis.call('HINCRBY', state, 'n', 1))
redis.call('ZADD', index, log, channel)
if what == 't' then
  redis.call('HSET', meta, 'x', log)
  offset = '0'
else
  offset = number(offset + 1)
  local gone
  if count > 0 then
    local now = clock()
    local size = redis.call('RPUSH', list, number(now) .. ':' .. log .. ':' .. entry)
    if size == count + 1 then
      gone = string.match(redis.call('LPOP', list), '^%d+:(%d+)')
    elseif size > count then
      gone = string.match(redis.call('LINDEX', list, size - count - 1), '^%d+:(%d+)')
      redis.call('LTRIM', list, -count, -1)
    elseif size == 1 then
      gone = at.log
    end
    if age > 0 and ttl ~= '' then gone = trim(list, now, age) or gone end
    if age > 0 and (ttl ~= '' or size == 1) then
      redis.call('PEXPIRE', list, age + SLACK_MS)
    elseif age <= 0 and at.age ~= ARGV[8] then
      redis.call('PERSIST', list)
    end
    if at.age ~= ARGV[8] then redis.call('HSET', meta, 'a', ARGV[8]) end
  else
    gone = log
    if at.age then
      redis.call('DEL', list)
      redis.call('HDEL', meta, 'a')
    end
  end
  if gone then
    redis.call('HSET', meta, 'o', offset, 'l', log, 't', gone)
  else
    redis.call('HSET', meta, 'o', offset, 'l', log)
  end
end
local message = at.g .. ':' .. log .. ':' .. epoch .. ':' .. offset .. ':' .. entry
if what == 'r' then
  redis.call('HSET', meta, 'r', message, 'z', 1)
  redis.call('SADD', slots, channel)
elseif what == 'c' and at.slot then
  redis.call('HDEL', meta, 'r', 'z')
  redis.call('SREM', slots, channel)
end
local stays = (count > 0 and age <= 0) or what == 'r' or (at.slot and what ~= 'c')
local stayed = at.slot or (at.age and tonumber(at.age) <= 0)
if stays and not stayed then
  redis.call('PERSIST', meta)
elseif not stays and (stayed or ttl ~= '') then
  redis.call('PEXPIRE', meta, ttl ~= '' and ttl or META_MS)
end
local position = epoch .. ':' .. offset
if KEYS[6] then redis.call('SET', KEYS[6], position, 'PX', IDEMPOTENCY_MS) end
PUBLISH
return position
"""

#: ARGV[3] says what: `newest`, `since`, `before`, `log` or `range`; ARGV[4] to ARGV[6] are its epoch and numbers.
#: The entries come in the direction they were asked for, as many as fit the bytes (`more`); `low` and `high` bound all.
_READ: Final = """
local meta, list, state, index = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local what, wanted, from, limit = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local age, ttl, budget = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local at = place(meta, list, state, index, ARGV[10], ARGV[11], ARGV[1], ARGV[2], ttl)
local epoch = at.epoch
redis.call('PEXPIRE', meta, ttl, 'GT')
if age < 0 then age = tonumber(at.age or '0') end
if age > 0 then
  local gone = trim(list, clock(), age)
  if gone then redis.call('HSET', meta, 't', gone) end
end
local last = tonumber(at.offset)
local size = redis.call('LLEN', list)
local first = last - size + 1
local low, high = 1, 0
local up = false
if what == 'newest' then
  low, high = math.max(first, last - limit + 1), last
elseif what == 'log' then
  low, high = first, last
elseif wanted == epoch and (from <= last or what == 'range') then
  if what == 'since' then
    up = true
    low = math.max(first, from + 1)
    high = math.min(last, low + limit - 1)
  elseif what == 'before' then
    high = math.min(last, from - 1)
    low = math.max(first, high - limit + 1)
  else
    up = limit >= from
    low, high = math.max(first, math.min(from, limit)), math.min(last, math.max(from, limit))
  end
end
local found, more = {}, 0
local done = low > high
local next = up and low or high
while not done do
  local till = up and math.min(high, next + 31) or math.max(low, next - 31)
  local part = redis.call('LRANGE', list, math.min(next, till) - first, math.max(next, till) - first)
  for i = 1, #part do
    local each = up and part[i] or part[#part - i + 1]
    if what == 'log' and tonumber(string.match(each, '^%d+:(%d+)')) <= from then
      done = true
      break
    end
    found[#found + 1] = each
    budget = budget - #each
    if budget < 0 then
      done, more = true, 1
      break
    end
  end
  next = up and till + 1 or till - 1
  done = done or next > high or next < low
end
local m = redis.call('HMGET', meta, 'r', 'l', 't', 'x')
local trimmed = size == 0 and m[2] or m[3]
local passed = tonumber(m[4] or '0')
return {at.g, epoch, last, first, low, high, m[1] or false, tonumber(trimmed or '0'), passed, more, found}
"""

#: Tells where channels are and keeps those alive that somebody is attached to; an epoch that is void is told as none.
_LOOK: Final = """
local s = redis.call('HMGET', KEYS[1], 'g', 'n')
local found = {s[1] or '', tonumber(s[2] or '0')}
for i = 2, #KEYS do
  local m = redis.call('HMGET', KEYS[i], 'e', 'o', 'g')
  local alive = m[1] and m[3] == s[1]
  found[#found + 1] = alive and m[1] or ''
  found[#found + 1] = alive and tonumber(m[2]) or 0
  redis.call('PEXPIRE', KEYS[i], ARGV[1], 'GT')
end
return found
"""

#: Run first on every connection. Another server than the last may lack what that one told, unless it was on its disk.
_ADOPT: Final = """
local s = redis.call('HMGET', KEYS[1], 'g', 'v')
local g = s[1]
if not g or (s[2] ~= ARGV[1] and ARGV[2] == '0') then
  g = ARGV[3]
end
redis.call('HSET', KEYS[1], 'g', g, 'v', ARGV[1])
return {g, tonumber(redis.call('HGET', KEYS[1], 'n') or '0')}
"""

#: Returns the names of channels that changed after a log position (ARGV[1]; empty: none) and of those with a slot.
_CHANGED: Final = """
local s = redis.call('HMGET', KEYS[1], 'g', 'n', 'f')
local names = {}
if ARGV[1] ~= '' then names = redis.call('ZRANGE', KEYS[2], '(' .. ARGV[1], '+inf', 'BYSCORE') end
return {s[1] or '', tonumber(s[2] or '0'), tonumber(s[3] or '0'), names, redis.call('SMEMBERS', KEYS[3])}
"""

#: Takes channels that are forgotten out of the index, looking at some of it each time.
_SWEEP: Final = """
local size = redis.call('ZCARD', KEYS[2])
if size == 0 then return 0 end
local start = tonumber(ARGV[2]) % size
local some = redis.call('ZRANGE', KEYS[2], start, start + 199, 'WITHSCORES')
local floor = tonumber(redis.call('HGET', KEYS[1], 'f') or '0')
local gone = 0
for i = 1, #some, 2 do
  if redis.call('EXISTS', ARGV[1] .. some[i]) == 0 then
    redis.call('ZREM', KEYS[2], some[i])
    floor = math.max(floor, tonumber(some[i + 1]))
    gone = gone + 1
  end
end
if gone > 0 then redis.call('HSET', KEYS[1], 'f', number(floor)) end
return gone
"""


def _script(body: str, **words: str) -> Script:
    text = _SHARED + body
    for word, value in words.items():
        text = text.replace(word, value)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _append(publish: str) -> Script:
    return _script(
        _APPEND,
        IDEMPOTENCY_MS=str(int(IDEMPOTENCY_S * 1000)),
        META_MS=str(int((META_AGE_S + RENEWAL_S) * 1000)),
        SLACK_MS=str(int(RENEWAL_S * 1000)),
        PUBLISH=publish,
    )


APPEND: Final = _append("redis.call('PUBLISH', ARGV[12], message)")
#: In a cluster, where feeds have no patterns, every feed gets its own message.
APPEND_IN_CLUSTER: Final = _append("for feed = 12, #ARGV do redis.call('SPUBLISH', ARGV[feed], message) end")
READ: Final = _script(_READ)
LOOK: Final = _script(_LOOK)
ADOPT: Final = _script(_ADOPT)
CHANGED: Final = _script(_CHANGED)
SWEEP: Final = _script(_SWEEP)


def scripts(*, in_cluster: bool) -> tuple[Script, ...]:
    """Return all scripts that a server needs."""
    return (APPEND_IN_CLUSTER if in_cluster else APPEND, READ, LOOK, ADOPT, CHANGED, SWEEP)
