-- mark notes that final dots are about to be sent for what leases hold.
-- KEYS: partition
-- ARGV: touch 0|1, n marks, then for each: id, token, n indexes, index …
-- returns for each: 1, or 0 if the lease is lost
-- cost: O(recipients)
if ARGV[1]=='1' then touch() end
local a,out=3,{}

local function one(id,tk,n)
  local mk,idx=p..'m'..id,{unpack(ARGV,a,a+n-1)}
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
  -- Something is written in any case: a wait for replicas counts writes.
  if #set>2 then call(unpack(set)) else call('HINCRBY',p,'w',0) end
  return 1
end

for i=1,tonumber(ARGV[2]) do
  local id,tk,n=ARGV[a],tonumber(ARGV[a+1]),tonumber(ARGV[a+2])
  a=a+3
  out[i]=one(id,tk,n)
  a=a+n
end
return out
