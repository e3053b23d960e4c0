-- drop removes a record of the registry if its version is still the one given.
-- KEYS: registry
-- ARGV: kind, name, version, again 0|1
-- returns: 1, 0 if it was another, -1 if there is none
-- cost: O(log records of the kind)
local call=redis.call
local k,kind,name=KEYS[1],ARGV[1],ARGV[2]
local old=call('HGET',k..'r'..kind,name)
if not old then
  if ARGV[4]~='1' then return -1 end
  call('HSET',k,'v',call('HGET',k,'v') or 0) -- a wait for replicas counts writes
  return 1
end
if string.format('%.0f',(struct.unpack('>I8',old)))~=ARGV[3] then return 0 end
local t=redis.call('TIME')
call('HSET',k,'v',string.format('%.0f',math.max(tonumber(call('HGET',k,'v') or 0)+1,t[1]*1000000+t[2])))
call('HDEL',k..'r'..kind,name)
call('ZREM',k..'n'..kind,name)
return 1
