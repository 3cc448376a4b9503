"""What Redis does in one step: Lua scripts. Time is Redis's own, so the workers' clocks do not matter.

A place is a member of a sorted set whose score is the moment it runs out. Only `BEAT` and `CLAIM` add one, and
both drop those that have run out first.
"""

from __future__ import annotations

from typing import Final

_NOW: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
"""

CLAIM: Final = (
    _NOW
    + """
local member, places, life = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if places == 1 then
  local left = redis.call('GET', KEYS[2])
  if left then
    local cut = string.find(left, '\\n', 1, true)
    local text = string.sub(left, cut + 1)
    if text ~= '' or string.sub(left, 1, cut - 1) == ARGV[4] then return {2, text} end
  end
end
if places > 1 then
  local born = redis.call('GET', KEYS[3])
  if not born then return {0, '', 20} end
  if now - born < tonumber(ARGV[5]) then return {0, '', born + ARGV[5] - now} end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], member) or redis.call('ZCARD', KEYS[1]) < places then
  redis.call('ZADD', KEYS[1], now + life, member)
  redis.call('PEXPIRE', KEYS[1], life)
  return {1}
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, first[1], first[2] - now}
"""
)
"""Keys: places, what was left, when this Redis was first seen. Arguments: member, places, life in ms, whom the
caller has waited for, ms within which all have had a heartbeat.

A Redis that has lost everything does not know who is inside until all have had a heartbeat: until then it grants
none of several places.

Returns {1}: granted; {2, text}: left by the last holder ("" only for who waited for that one); {0, a holder,
ms until its place runs out}.
"""

RELEASE: Final = """
local removed = redis.call('ZREM', KEYS[1], ARGV[1])
local leaves, text = ARGV[2] == '1', ARGV[3]
if leaves and (removed == 1 or text ~= '') then
  redis.call('SET', KEYS[2], ARGV[1] .. '\\n' .. text, 'PX', ARGV[4])
end
if removed == 1 or leaves then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return removed
"""
"""Keys: places, what is left. Arguments: member, 1 where something is left, its text, its life in ms, channel, name."""

BEAT: Final = (
    _NOW
    + """
local life = tonumber(ARGV[1])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
if ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[1], now + life, ARGV[2])
  redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
end
redis.call('SET', KEYS[3], ARGV[#ARGV] == '1' and 0 or now, 'NX')
local lost = {}
for i = 4, #KEYS do
  local member, places = ARGV[2 * i - 4], tonumber(ARGV[2 * i - 3])
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if places > 1 or redis.call('ZSCORE', KEYS[i], member) or redis.call('ZCARD', KEYS[i]) == 0 then
    redis.call('ZADD', KEYS[i], now + life, member)
    redis.call('PEXPIRE', KEYS[i], life)
  else
    lost[#lost + 1] = i - 4
  end
end
local about = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  about[#about + 1] = name
  about[#about + 1] = redis.call('HGET', KEYS[2], name) or ''
end
return {about, lost}
"""
)
"""Keys: workers, what they say about themselves, when this Redis was first seen, places of each claim held.
Arguments: life in ms, this worker's name or "", what it says, then member and places of each claim, last 1 for a
worker that has just started: it does not take a Redis that is new to all for one that has lost everything.

A claim of many places is renewed in any case: whoever holds it is inside. One of a single place is renewed only
while nobody else has it.

Returns names and what they say, by turns; numbers of the claims that were lost, from 0.
"""
