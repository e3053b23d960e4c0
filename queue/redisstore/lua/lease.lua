-- lease ends expired leases, brings forward what has become due, and grants up
-- to max leases: of one lane, or of all that is ready, fair between accounts;
-- what other nodes parked comes last.
-- KEYS: partition
-- ARGV: now ms, ttl ms, max, lane|'', node, touch 0|1
-- returns: {{pending id, index …}, {token, lane, id, header, content reference, index, record, …} …}
-- cost: O(leases granted and expired, hints that became due)
local now,ttl,max_,only,node=tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3]),ARGV[4],ARGV[5]
if ARGV[6]=='1' then touch() end
local pending=reap(now,100)
unpark(now,100)
local hz=promote(now,200+2*max_)
local out,looks={pending},0
local most=300+2*max_

-- take grants the message at the head of a flow; 0: only stale hints went.
local function take(prio,acct,lane)
  local fk=flowkey(prio,acct,lane)
  local hs=call('LRANGE',fk,0,31)
  local id,idx,n,seen=nil,{},0,{}
  for i,h in ipairs(hs) do
    local hid=sub(h,7,20)
    if id and hid~=id then break end
    local more=indexes(h,21)
    if #idx+#more>100 then break end
    id,n=hid,i
    for _,k in ipairs(more) do if not seen[k] then seen[k]=true idx[#idx+1]=k end end
  end
  local got,wait={},{}
  if id then
    table.sort(idx)
    local r=call('HMGET',p..'m'..id,'h','b',unpack(idx))
    for i,k in ipairs(idx) do
      local v=r[2+i]
      if v then
        local rev,_,status,st,pend,_,due,ln=unpk('>I4I8BBBBI6I2',v)
        if status==1 or not waits(st) or (status==2 and pend~=0) then
          -- It has been seen to.
        elseif due>now then
          wait[#wait+1]={due,id..pack('>I2',k)} -- for whom it is not that late yet
        elseif sub(v,25,24+ln)==lane then
          got[#got+1]={k,v,rev,st}
        end
      end
    end
    if #got>0 then
      local tk=token(now)
      local shown,s,l={},{'HSET',p..'m'..id},{string.format('%.0f',tk),lane,id,r[1],r[2] or ''}
      local member=pack('>I8',tk)..id
      for _,g in ipairs(got) do
        local v=pack('>I4I8B',(g[3]+1)%4294967296,tk,1)..sub(g[2],14)
        tally(shown,g[4],-1) tally(shown,2,1)
        s[#s+1]=g[1] s[#s+1]=v
        member=member..pack('>I2',g[1])
        l[#l+1]=g[1] l[#l+1]=v
      end
      call(unpack(s))
      call('ZADD',p..'x',now+ttl,member)
      for st,d in pairs(shown) do call('HINCRBY',p..'c',st,d) end
      charge(prio,acct,#got)
      save()
      out[#out+1]=l
    end
  end
  for _,w in ipairs(wait) do later(hz,w[1],w[2]) end
  if n>0 then call('LTRIM',fk,n,-1) end
  local head=call('LINDEX',fk,0)
  if head then
    local due=unpk('>I6',head)
    call('ZADD',p..'l'..lane,due,prio..acct)
    call('ZADD',p..'r'..prio..acct,'XX',due,lane)
  else
    call('ZREM',p..'l'..lane,prio..acct)
    rest(prio,acct,lane)
  end
  return #got
end

-- lane serves one lane, the account first that has been given least.
local function fromlane(lane,room)
  local given=0
  while given<room and looks<most do
    looks=looks+1
    local best,v
    for _,fl in ipairs(call('ZRANGE',p..'l'..lane,0,63)) do
      local w=share(sub(fl,2))
      local x=w[1]+max(w[2],w[2+tonumber(sub(fl,1,1))])/1e6
      if not best or x<v then best,v=fl,x end
    end
    if not best then return given end
    if take(sub(best,1,1),sub(best,2),lane)>0 then given=given+1 end
  end
  return given
end

if only~='' then
  fromlane(only,max_)
  save()
  return out
end
local given=0
while given<max_ and looks<most do
  looks=looks+1
  local acct=call('ZRANGE',p..'a',0,0)[1]
  if not acct then
    -- More may have ended or become due than was brought forward at once.
    reap(now,100,pending) promote(now,200) unpark(now,100)
    acct=call('ZRANGE',p..'a',0,0)[1]
    if not acct then break end
  end
  local w,prio,best=share(acct),nil,nil
  for c=1,3 do
    if call('EXISTS',p..'r'..c..acct)==1 then
      local x=max(w[2],w[2+c])
      if not prio or x<best then prio,best=tostring(c),x end
    end
  end
  if not prio then
    call('ZREM',p..'a',acct)
  else
    local lane=call('ZRANGE',p..'r'..prio..acct,0,0)[1]
    if take(prio,acct,lane)>0 then given=given+1 end
  end
end
if given<max_ and call('EXISTS',p..'j')==1 then
  -- Lanes that other nodes parked, since they have no room for them.
  local js=call('HRANDFIELD',p..'j',8,'WITHVALUES')
  for i=1,#js,2 do
    local mine=false
    for k=1,#js[i+1],14 do
      if sub(js[i+1],k,k+7)==node and unpk('>I6',js[i+1],k+8)>now then mine=true end
    end
    if not mine and given<max_ then given=given+fromlane(js[i],1) end
  end
end
save()
return out
