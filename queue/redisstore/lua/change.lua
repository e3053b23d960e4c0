-- change settles leases and does what operators ask: recipients of several
-- messages, of each message all or none, with their events.
-- KEYS: partition
-- ARGV: touch 0|1, n messages, then for each
--   now ms (0: the server's), again 0|1, id, priority, account, lease|'' (token I8,
--   id, indexes), ended ms, trouble 0|1, n changes, n hints, new header|'',
--   changes of (index, T|R, token or rev, expected pending, status,
--     record from state on, event|'', asked|''|'-'),
--   hints of (lane or '', due ms, indexes)
-- returns for each: 1 | 0 the lease is lost | 2 it changed meanwhile | 3 no such message | {index, record, asked}
-- cost: O(recipients)
local move=ARGV[1]=='1'
local a=3

local function one()
  local now,again,id,prio,acct,lease=tonumber(ARGV[a]),ARGV[a+1]=='1',ARGV[a+2],ARGV[a+3],ARGV[a+4],ARGV[a+5]
  local at,trouble,n,nh=tonumber(ARGV[a+6]),ARGV[a+7]=='1',tonumber(ARGV[a+8]),tonumber(ARGV[a+9])
  local head=ARGV[a+10]
  local ch=a+11
  local hn=ch+8*n
  a=hn+3*nh
  local mk=p..'m'..id
  local want={}
  for i=0,n-1 do want[#want+1]=ARGV[ch+8*i] end
  local rest_=lease~='' and indexes(lease,23) or {}
  local r=call('HMGET',mk,'s',unpack(want))
  if not r[1] then return 3 end
  local seg,open,total,fl,events=unpk('>I5I2I2BI4',r[1])
  local set,shown,stored,lanes,ne,done={'HSET',mk},{},{},{},0,0
  local del={}
  for i=0,n-1 do
    local c=ch+8*i
    local old=r[2+i]
    if not old then return ARGV[c+1]=='T' and 0 or 2 end
    local rev,tk,status,st,pend=unpk('>I4I8BBB',old)
    if ARGV[c+1]=='T' then
      if tk~=tonumber(ARGV[c+2]) then return 0 end
      if status==3 and again then
        done=done+1
      elseif status~=1 and status~=2 then
        return 0
      elseif pend~=tonumber(ARGV[c+3]) then
        return {ARGV[c],old,call('HGET',mk,'p'..ARGV[c]) or ''}
      end
    elseif rev~=tonumber(ARGV[c+2]) then
      return 2
    end
    local new=ARGV[c+5]
    local ns=tonumber(ARGV[c+4])
    if ns==255 then ns=status end
    local was=status==1 and 2 or st
    local is=ns==1 and 2 or string.byte(new,1)
    tally(shown,was,-1) tally(shown,is,1)
    local st2=string.byte(new,1)
    tally(stored,st,-1) tally(stored,st2,1)
    inlane(lanes,old,13,-1) inlane(lanes,new,0,1)
    if st<6 and st2>=6 then open=open-1 end
    set[#set+1]=ARGV[c] set[#set+1]=pack('>I4I8B',(rev+1)%4294967296,tk,ns)..new
    if ARGV[c+6]~='' then
      set[#set+1]='e'..(events+ne) set[#set+1]=ARGV[c+6]
      ne=ne+1
    end
    if ARGV[c+7]=='-' then del[#del+1]='p'..ARGV[c]
    elseif ARGV[c+7]~='' then set[#set+1]='p'..ARGV[c] set[#set+1]=ARGV[c+7] end
  end
  -- Something is written all the same: a wait for replicas counts writes.
  if done==n then call('HINCRBY',p,'w',0) return 1 end
  if done>0 then return 0 end
  local hz=get('hz')
  if move then
    touch(p..'g'..seg)
    for i=0,nh-1 do call('EXISTS',p..'t'..floor(tonumber(ARGV[hn+3*i+1])/width)) end
  end
  if trouble and fl%2==0 then fl=fl+1 end
  if head~='' then set[#set+1]='h' set[#set+1]=head end
  set[#set+1]='s' set[#set+1]=pack('>I5I2I2BI4',seg,open,total,fl,events+ne)
  call(unpack(set))
  if #del>0 then call('HDEL',mk,unpack(del)) end
  counts(seg,shown,stored)
  weigh(lanes)
  for i=0,nh-1 do
    later(hz,tonumber(ARGV[hn+3*i+1]),id..ARGV[hn+3*i+2])
  end
  if lease~='' then
    -- The lease is over when it holds nothing more.
    local held=false
    if #rest_>n then
      local tk=unpk('>I8',lease)
      for _,v in ipairs(call('HMGET',mk,unpack(rest_))) do
        if v then
          local _,t,status=unpk('>I4I8B',v)
          if t==tk and (status==1 or status==2) then held=true end
        end
      end
    end
    if not held then call('ZREM',p..'x',lease,'\255'..lease) end
  end
  if ne>0 then log(now,id,events,ne) end
  if open==0 and ne>0 then ended(id,at,fl%2==1) end
  if nh>0 then woke() end
  save()
  return 1
end

local out={}
for i=1,tonumber(ARGV[2]) do out[i]=one() end
return out
