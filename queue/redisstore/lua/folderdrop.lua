-- folderdrop removes a shelf with its rows, but not one that was begun since.
-- KEYS: shelf
-- ARGV: when it began, touch 0|1
-- returns: 1
-- cost: O(1); the memory is given back beside other work
local call=redis.call
local k=KEYS[1]
local v=call('HGET',k,'v')
if ARGV[2]=='1' then call('EXISTS',k..'r') end
local born='0'
if v then
  local _,b=struct.unpack('>I8I8',v)
  born=string.format('%.0f',b)
end
call('HSET',k,'v',v or '') -- a wait for replicas counts writes
if born==ARGV[1] or not v then call('UNLINK',k,k..'r') end
return 1
