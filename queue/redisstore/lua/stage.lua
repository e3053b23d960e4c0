-- stage keeps a chunk of a content that no message names yet, or notes whose it
-- is to be or has been: until unstage, who sweeps will ask that message.
-- KEYS: contents
-- ARGV: content, number of the chunk|'', chunk, owner|''
-- returns: 1
-- cost: O(1)
local call=redis.call
local k,id=KEYS[1],ARGV[1]
local t=call('TIME')
call('ZADD',k..'s',t[1]*1000+math.floor(t[2]/1000),id)
if ARGV[2]~='' then call('SET',k..id..'.'..ARGV[2],ARGV[3]) end
if ARGV[4]~='' then call('HSET',k..'o',id,ARGV[4]) end
return 1
