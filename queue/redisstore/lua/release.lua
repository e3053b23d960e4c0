-- release gives leased recipients back unattempted.
-- KEYS: partition
-- ARGV: now ms, lease (token I8, id, indexes), all 0|1, touch 0|1, index …
--   all 1: of those named, what is still held; 0: all of them or nothing
-- returns: {1, pending index …} or {0} if the lease is lost
-- cost: O(recipients)
local now,lease,all=tonumber(ARGV[1]),ARGV[2],ARGV[3]=='1'
local tk,id=unpk('>I8',lease),sub(lease,9,22)
local mk=p..'m'..id
local idx={unpack(ARGV,5)}
local whole=indexes(lease,23)
local r=call('HMGET',mk,'h',unpack(idx))
local out,set,shown,due={1},{'HSET',mk},{},{}
for i,k in ipairs(idx) do
  local v=r[1] and r[1+i]
  local ok=false
  if v then
    local rev,t,status,st,pend,_,at,n=unpk('>I4I8BBBBI6I2',v)
    if t==tk and (status==1 or status==2) then
      ok=true
      if status==1 then tally(shown,2,-1) tally(shown,st,1) end
      if pend~=0 then
        out[#out+1]=k
        set[#set+1]=k set[#set+1]=pack('>I4I8B',(rev+1)%4294967296,t,2)..sub(v,14)
      else
        set[#set+1]=k set[#set+1]=pack('>I4I8B',(rev+1)%4294967296,t,0)..sub(v,14)
        if status==1 and waits(st) then
          local lane=sub(v,25,24+n)
          local d=due[lane]
          if not d then d={at,id} due[lane]=d end
          if at<d[1] then d[1]=at end
          d[2]=d[2]..pack('>I2',tonumber(k))
        end
      end
    end
  end
  if not ok and not all then return {0} end
end
if #set==2 then return {1} end
local prio,acct=owner(r[1])
if ARGV[4]=='1' then
  touch()
  for lane in pairs(due) do call('EXISTS',flowkey(prio,acct,lane),p..'l'..lane) end
end
call(unpack(set))
for st,d in pairs(shown) do call('HINCRBY',p..'c',st,d) end
for lane,d in pairs(due) do push(true,prio,acct,lane,d[1],d[2]) end
local held=false
if #whole>#idx then
  for _,v in ipairs(call('HMGET',mk,unpack(whole))) do
    if v then
      local _,t,status=unpk('>I4I8B',v)
      if t==tk and status==1 then held=true end
    end
  end
end
if not held then call('ZREM',p..'x',lease) end
if #out>1 then call('ZADD',p..'x',now+5000,'\255'..lease) end
woke()
save()
return out
