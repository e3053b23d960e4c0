-- bury notes a content that a message is about to give up, also on a full server:
-- who sweeps removes it once the message names it no more.
-- KEYS: contents
-- ARGV: content, owner
-- returns: 1
-- cost: O(1)
local call=redis.call
local t=call('TIME')
call('ZADD',KEYS[1]..'s',t[1]*1000+math.floor(t[2]/1000),ARGV[1])
call('HSET',KEYS[1]..'o',ARGV[1],ARGV[2])
return 1
