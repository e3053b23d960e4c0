-- What the scripts of a partition share; it stands before each of them. KEYS[1]
-- is the partition: all other keys begin with it, and so lie in its slot. Every
-- script reads, and so checks, before it writes: while a Cluster moves the slot
-- it then fails as a whole instead of in the middle. What is asked for again
-- after a broken connection is done once.
--
-- A record is: rev I4 | token I8 | status B | state B | pending B | flags B |
-- due I6 (ms) | lane I2+n | the rest, which only Go reads. Status: 0 waits or
-- final, 1 leased, 2 its lease expired, 3 settled under its token. Flags: 1 in
-- doubt, 2 counted in its lane.
--
-- The facts of a message are: segment I5 | open recipients I2 | recipients I2 |
-- flags B (1 trouble, 2 its queued event is still to be imported) | events I4.
--
-- A hint is an id of 14 octets and indexes of 2 each; with the time it is due
-- (I6) before it in flows and buckets. The record is the truth, a hint may be
-- stale. Every recipient that waits has one that is due no later than itself.
local p=KEYS[1]
local call,pack,unpk,sub,floor,max=redis.call,struct.pack,struct.unpack,string.sub,math.floor,math.max
local width=8192 -- ms of a bucket
local segment=512 -- messages of a segment

local function waits(st) return st==1 or st==3 or st==5 end

-- owner reads priority and account from a message's header.
local function owner(h)
  local n=unpk('>I2',h,2)
  return sub(h,1,1),sub(h,4,3+n)
end

local function flowkey(prio,acct,lane) return p..'f'..prio..pack('>I2',#acct)..acct..lane end

-- indexes lists what a hint names, as fields of the message.
local function indexes(hint,from)
  local t={}
  for i=from,#hint,2 do t[#t+1]=unpk('>I2',hint,i) end
  return t
end

-- What the partition remembers is read once and written once, by save: f the last
-- fence, v the virtual time of the last account served, e the last time of the
-- log, hz the last bucket that was taken apart, sg the segment that grows and sn
-- how many it has, w how often something was made ready.
local known,changed
local function get(k)
  if not known then
    local v=call('HMGET',p,'f','v','e','hz','sg','sn','w')
    known,changed={},{}
    for i,name in ipairs{'f','v','e','hz','sg','sn','w'} do known[name]=tonumber(v[i] or 0) end
  end
  return known[k]
end

local function put(k,v)
  get(k)
  known[k],changed[k]=v,v
end

-- save comes before anything that may fail where something has been written.
local function save()
  if not changed or not next(changed) then return end
  local f={'HSET',p}
  for k,v in pairs(changed) do f[#f+1]=k f[#f+1]=string.format('%.0f',v) end
  call(unpack(f))
  changed={}
end

-- share is what an account has been given: its virtual time, and within it that
-- of the last class served and of the classes (start-time fair queueing).
local function share(acct)
  local v=call('HGET',p..'v',acct)
  if v then return {unpk('>ddddd',v)} end
  return {0,0,0,0,0}
end

-- ready enters a flow whose list is not empty any more.
local function ready(prio,acct,lane,due)
  call('ZADD',p..'l'..lane,'LT',due,prio..acct)
  if call('HEXISTS',p..'j',lane)==1 then return end
  call('ZADD',p..'r'..prio..acct,'LT',due,lane)
  if not call('ZSCORE',p..'a',acct) then
    call('ZADD',p..'a',max(share(acct)[1],get('v')),acct)
  end
end

-- rest takes a flow out of what is ready for all.
local function rest(prio,acct,lane)
  local rk=p..'r'..prio..acct
  call('ZREM',rk,lane)
  if call('EXISTS',p..'r1'..acct,p..'r2'..acct,p..'r3'..acct)==0 then call('ZREM',p..'a',acct) end
end

-- charge notes that an account was given n recipients.
local function charge(prio,acct,n)
  local v=share(acct)
  local score=call('ZSCORE',p..'a',acct)
  if score then v[1]=tonumber(score) end
  v[1]=max(v[1],get('v'))
  put('v',v[1])
  v[1]=v[1]+n
  local c=2+tonumber(prio)
  v[2]=max(v[2],v[c])
  v[c]=v[2]+n/(({4,2,1})[tonumber(prio)])
  call('HSET',p..'v',acct,pack('>ddddd',v[1],v[2],v[3],v[4],v[5]))
  if score then call('ZADD',p..'a','XX',v[1],acct) end
end

-- later keeps a hint until it is due.
local function later(hz,due,hint)
  local b=floor(due/width)
  if b<=hz then
    call('ZADD',p..'n','LT',due,hint)
  else
    call('RPUSH',p..'t'..b,pack('>I6',due)..hint)
    call('ZADD',p..'t','LT',due,b)
  end
end

-- push adds hints that are due to their flow, at its front or at its end.
local function push(front,prio,acct,lane,due,hint)
  call(front and 'LPUSH' or 'RPUSH',flowkey(prio,acct,lane),pack('>I6',due)..hint)
  ready(prio,acct,lane,due)
end

-- sort splits what a hint names, of a message that has been read, into what is
-- due by lane and what is due later; the rest is stale.
local function sort(id,idx,recs,from,now)
  local due,wait={},{}
  for i,k in ipairs(idx) do
    local r=recs[from+i-1]
    if r then
      local status,st,_,_,at,n=unpk('>BBBBI6I2',r,13)
      if status~=1 and waits(st) then
        if at>now then
          wait[#wait+1]={at,id..pack('>I2',k)}
        else
          local lane=sub(r,25,24+n)
          local d=due[lane]
          if not d then d={at,id} due[lane]=d end
          if at<d[1] then d[1]=at end
          d[2]=d[2]..pack('>I2',k)
        end
      end
    end
  end
  return due,wait
end

-- promote moves up to limit hints whose time has come to their flows, and
-- returns up to which bucket they are kept one by one.
local function promote(now,limit)
  local hz,cur,left=get('hz'),floor(now/width),limit
  while left>0 do
    local b=call('ZRANGE',p..'t',0,0)[1]
    if not b or tonumber(b)>cur then break end
    local bk=p..'t'..b
    local hs=call('LRANGE',bk,0,left-1)
    for _,h in ipairs(hs) do
      local due=unpk('>I6',h)
      call('ZADD',p..'n','LT',due,sub(h,7))
    end
    call('LTRIM',bk,#hs,-1)
    if call('EXISTS',bk)==0 then call('ZREM',p..'t',b) end
    left=left-#hs-1
  end
  if hz<cur then put('hz',cur) hz=cur end
  local hs=call('ZRANGE',p..'n','-inf',now,'BYSCORE','LIMIT',0,limit)
  for _,h in ipairs(hs) do
    local id,idx=sub(h,1,14),indexes(h,15)
    local recs=call('HMGET',p..'m'..id,'h',unpack(idx))
    if recs[1] then
      local prio,acct=owner(recs[1])
      local due,wait=sort(id,idx,recs,2,now)
      call('ZREM',p..'n',h)
      for lane,d in pairs(due) do push(false,prio,acct,lane,d[1],d[2]) end
      for _,w in ipairs(wait) do later(hz,w[1],w[2]) end
    else
      call('ZREM',p..'n',h)
    end
  end
  return hz
end

-- tally adds up changes of state: shown ones, where leased counts as active, and
-- stored ones by segment.
local function tally(t,st,n) t[st]=(t[st] or 0)+n end

local function counts(seg,shown,stored)
  for st,n in pairs(shown) do if n~=0 then call('HINCRBY',p..'c',st,n) end end
  for st,n in pairs(stored) do
    if n~=0 then
      local now=call('HINCRBY',p..'g'..seg,st,n)
      if now==0 then
        call('HDEL',p..'g'..seg,st) call('ZREM',p..'h'..st,seg)
      elseif now==n then
        call('ZADD',p..'h'..st,seg,seg)
      end
    end
  end
end

-- inlane adds up what waits by lane: n for a record, whose state is behind at, if
-- it is one that is counted.
local function inlane(t,r,at,n)
  if floor(string.byte(r,at+3)/2)%2==1 then
    tally(t,sub(r,at+12,at+11+unpk('>I2',r,at+10)),n)
  end
end

local function weigh(lanes)
  for lane,n in pairs(lanes) do
    if n~=0 then
      local now=call('HINCRBY',p..'y',lane,n)
      if now==0 then
        call('HDEL',p..'y',lane) call('ZREM',p..'z',lane)
      elseif now==n then
        call('ZADD',p..'z',0,lane)
      end
    end
  end
end

-- log appends events n of the message, from number k on, to the event log.
local function log(now,id,k,n)
  if now==0 then local t=call('TIME') now=t[1]*1000+floor(t[2]/1000) end
  if now>get('e') then put('e',now) else now=get('e') end
  call('XADD',p..'e',string.format('%.0f-*',now),'',id..pack('>I4I2',k,n))
end

-- ended enters a message that is final into the queues of retention.
local function ended(id,at,trouble)
  local b=floor(at/1048576)
  for _,q in ipairs{'c',trouble and 't' or 's'} do
    call('RPUSH',p..'d'..q..b,id) call('ZADD',p..'d'..q,b,b)
  end
end

-- token makes the next fence. It also grows over a failover that lost some.
local function token(now)
  local f=max(get('f')+1,now*1000)
  put('f',f)
  return f
end

-- touch fails, before anything is written, if a Cluster has moved some of what
-- may be written elsewhere.
local function touch(...)
  call('EXISTS',p..'c',p..'a',p..'v',p..'t',p..'n',p..'x',p..'j',p..'e',p..'y',p..'z',...)
end

local function woke() put('w',get('w')+1) end
