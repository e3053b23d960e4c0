-- foldercommit changes a shelf if it is still as the caller saw it, in the history
-- of the store that the caller saw it in. It is begun with version 0. Versions
-- follow the clock, so that none comes again, neither after a drop nor after a
-- commit that a fail-over lost.
-- Fields of the index begin with i; v is: version I8 | first version I8 | nonce.
-- KEYS: shelf
-- ARGV: version, lineage|'' for any, nonce, touch 0|1, n index puts, n index removals,
--   n row puts, n row removals, then these: field, value … field … row, value … row …
-- returns: the next version as text, or 0 if it was changed meanwhile
-- cost: O(keys of the commit)
local call=redis.call
local k=KEYS[1]
local v=call('HGET',k,'v')
if ARGV[4]=='1' then call('EXISTS',k..'r') end
local now,born=0,nil
if v then
  now,born=struct.unpack('>I8I8',v)
  -- Asked again after the answer was lost: it is what we wrote.
  if string.sub(v,17)==ARGV[3] then
    call('HSET',k,'v',v) -- a wait for replicas counts writes
    return string.format('%.0f',now)
  end
end
if string.format('%.0f',now)~=ARGV[1] then return 0 end
if ARGV[2]~='' and string.match(call('INFO','replication'),'master_replid:(%x+)')~=ARGV[2] then return 0 end

local a=9
-- all gives n arguments to a command, in pieces that the stack holds.
local function all(cmd,key,n)
  local till=a+n
  while a<till do
    local to=math.min(a+1000,till)
    call(cmd,key,unpack(ARGV,a,to-1))
    a=to
  end
end
all('HSET',k,2*ARGV[5])
all('HDEL',k,tonumber(ARGV[6]))
all('HSET',k..'r',2*ARGV[7])
all('HDEL',k..'r',tonumber(ARGV[8]))
local t=call('TIME')
local next=math.max(now+1,t[1]*1000000+t[2])
call('HSET',k,'v',struct.pack('>I8I8',next,born or next)..ARGV[3])
return string.format('%.0f',next)
