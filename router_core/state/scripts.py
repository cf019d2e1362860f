"""What Redis does in one step: the scripts that change shared state.

Keys carry the hash tag ``{detour}``, so that a cluster keeps them on one node. Every key has a time to live.
Times inside a script are Redis's own; moments that go into values are wall-clock seconds of the writer.
"""

from __future__ import annotations

from typing import Final

PERIOD: Final = """
-- A period with an end of its own, or the news that it was over sooner. A later end is never shortened, and what was
-- over is not brought back by who had not heard of it: the news stays in the period's place.
-- KEYS: hash, stream.  ARGV: field, record, since or moment of the news, until, ttl ms, origin, message
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  old = cjson.decode(old)
  local over = cjson.decode(ARGV[2])['over']
  if old['over'] then
    if old['over'] >= tonumber(ARGV[3]) then return 0 end
  elseif over then
    if old['since'] > tonumber(ARGV[3]) then return 0 end
  elseif old['until'] >= tonumber(ARGV[4]) then
    return 0
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '*', 'o', ARGV[6], 'm', ARGV[7])
redis.call('PEXPIRE', KEYS[2], 3600000)
return 1
"""

VALUE: Final = """
-- A value that the last writer decides.
-- KEYS: key, stream.  ARGV: value, ttl ms, origin, message
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '*', 'o', ARGV[3], 'm', ARGV[4])
redis.call('PEXPIRE', KEYS[2], 3600000)
return 1
"""

LATEST: Final = """
-- What was found out or decided last holds, whoever writes last.
-- KEYS: key, stream.  ARGV: value with its moment ``at``, the same moment, ttl ms, origin, message
local old = redis.call('GET', KEYS[1])
if old and cjson.decode(old)['at'] >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '*', 'o', ARGV[4], 'm', ARGV[5])
redis.call('PEXPIRE', KEYS[2], 3600000)
return 1
"""

COUNT: Final = """
-- Sums of what each process adds, in the window that the first to count began.
-- KEYS: hash of the window, stream.  ARGV: start, end, tokens, requests, ttl ms, origin, name, key
local known = redis.call('HGET', KEYS[1], 'end')
if not known or tonumber(known) <= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'start', ARGV[1], 'end', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
local tokens = redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[3])
local requests = redis.call('HINCRBY', KEYS[1], 'requests', ARGV[4])
local start, finish = unpack(redis.call('HMGET', KEYS[1], 'start', 'end'))
local message = cjson.encode({kind='count', name=ARGV[7], key=ARGV[8],
  value={start=tonumber(start), ['end']=tonumber(finish), tokens=tokens, requests=requests}})
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '*', 'o', ARGV[6], 'm', message)
redis.call('PEXPIRE', KEYS[2], 3600000)
return {start, finish, tokens, requests}
"""

TELL: Final = """
-- A message that nobody has to keep.
-- KEYS: stream.  ARGV: origin, message
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 20000, '*', 'o', ARGV[1], 'm', ARGV[2])
redis.call('PEXPIRE', KEYS[1], 3600000)
return 1
"""

LEASE: Final = """
-- A place among a limit. A place whose holder is gone is free when its time is over.
-- KEYS: sorted set of holders.  ARGV: holder, limit, ttl ms
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

RENEW: Final = """
-- KEYS: sorted set of holders.  ARGV: ttl ms, holder ...
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""

UNLOCK: Final = """
-- KEYS: lock.  ARGV: holder
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
