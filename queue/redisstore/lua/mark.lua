-- mark notes that the final dot is about to be sent for what a lease holds.
-- KEYS: partition
-- ARGV: now ms, id, token, touch 0|1, index …
-- returns: 1, or 0 if the lease is lost
-- cost: O(recipients)
local mk,tk=p..'m'..ARGV[2],tonumber(ARGV[3])
local idx={unpack(ARGV,5)}
local r=call('HMGET',mk,unpack(idx))
local set={'HSET',mk}
for i,k in ipairs(idx) do
  if not r[i] then return 0 end
  local rev,t,status,st,pend,flags=unpk('>I4I8BBBB',r[i])
  if t~=tk or status~=1 then return 0 end
  if flags%2==0 then
    set[#set+1]=k
    set[#set+1]=pack('>I4I8BBBB',(rev+1)%4294967296,t,status,st,pend,flags+1)..sub(r[i],17)
  end
end
if #set>2 then call(unpack(set)) end
return 1
