-- put writes a record of the registry if its version is still the one given; or
-- (set) a field whatever it was.
-- KEYS: registry, or a hash of its slot
-- ARGV: kind, name, version, nonce, value | 'set', name, value
-- returns: the new version as text, or 0 if it was another
-- cost: O(log records of the kind)
local call=redis.call
local k=KEYS[1]
if #ARGV==3 then
  call('HSET',k,ARGV[2],ARGV[3])
  return 1
end
local kind,name,version,nonce,value=ARGV[1],ARGV[2],ARGV[3],ARGV[4],ARGV[5]
local old=call('HGET',k..'r'..kind,name)
local now='0'
if old then
  local n=struct.unpack('>I8',old)
  now=string.format('%.0f',n)
  -- Asked again after the answer was lost: it is what we wrote.
  if string.sub(old,9,16)==nonce then
    call('HSET',k,'v',call('HGET',k,'v')) -- a wait for replicas counts writes
    return now
  end
end
if now~=version then return 0 end
local t=redis.call('TIME')
local v=math.max(tonumber(call('HGET',k,'v') or 0)+1,t[1]*1000000+t[2])
call('HSET',k,'v',string.format('%.0f',v))
call('HSET',k..'r'..kind,name,struct.pack('>I8',v)..nonce..value)
call('ZADD',k..'n'..kind,0,name)
call('ZADD',k..'k',0,kind)
return string.format('%.0f',v)
