-- enqueue makes a message durable: header, recipients, body, idempotency key,
-- hints, counts and the queued event, and leases what is due at once if asked.
-- KEYS: partition
-- ARGV: now ms, again 0|1, touch 0|1, id, header, content reference, body,
--   key name|'', fingerprint, key value, key end ms, final ms, trouble 0|1,
--   lease max, ttl ms, lane|'', node, n records, n events, n groups, imported 0|1,
--   records (from rev on), events, groups of (R|L, lane, due, indexes)
-- returns: {'ok', token, group …} | {'again'} | {'dup', id} | {'conflict'} | {'exists'}
-- cost: O(recipients)
local now,again,mk,id,h=tonumber(ARGV[1]),ARGV[2]=='1',p..'m'..ARGV[4],ARGV[4],ARGV[5]
local key,max_,ttl,only,node=ARGV[8],tonumber(ARGV[14]),tonumber(ARGV[15]),ARGV[16],ARGV[17]
local n,ne,ng=tonumber(ARGV[18]),tonumber(ARGV[19]),tonumber(ARGV[20])
local old=call('HGET',mk,'h')
-- Where nothing is to be stored something is written all the same: a wait for
-- replicas counts writes, and must be for those that made what is told of.
if again and old==h then call('HINCRBY',p,'w',0) return {'again'} end
if key~='' then
  local k=call('GET',p..'k'..key)
  if k and unpk('>I6',k,47)>now then
    if sub(k,15,46)~=ARGV[9] then return {'conflict'} end
    call('HINCRBY',p,'w',0)
    return {'dup',sub(k,1,14)}
  end
end
if old then return {'exists'} end
local seg,sn,hz=max(get('sg'),1),get('sn'),get('hz')
if sn>=segment then seg,sn=seg+1,0 end
local prio,acct=owner(h)
local recs,evs,grp=21,21+n,21+n+ne
if ARGV[3]=='1' then
  touch(p..'b'..id,p..'s'..seg,p..'g'..seg)
  for i=0,ng-1 do
    local lane,due=ARGV[grp+4*i+2],tonumber(ARGV[grp+4*i+3])
    call('EXISTS',flowkey(prio,acct,lane),p..'l'..lane,p..'t'..floor(due/width))
  end
end
if max_>0 then promote(now,100) end

local shown,stored,lanes,open,f={},{},{},0,{'HSET',mk,'h',h,'b',ARGV[6]}
if ARGV[6]=='' then f[5]=nil f[6]=nil end
for i=1,n do
  local r=ARGV[recs+i]
  local st=string.byte(r,14)
  tally(shown,st,1) tally(stored,st,1) inlane(lanes,r,13,1)
  if st<6 then open=open+1 end
  f[#f+1]=i-1 f[#f+1]=r
end
for i=1,ne do f[#f+1]='e'..i f[#f+1]=ARGV[evs+i] end
f[#f+1]='s' f[#f+1]=pack('>I5I2I2BI4',seg,open,n,tonumber(ARGV[13])+2*tonumber(ARGV[21]),1+ne)
call(unpack(f))
if ARGV[7]~='' then call('SET',p..'b'..id,ARGV[7]) end
if key~='' then call('SET',p..'k'..key,ARGV[10],'PXAT',ARGV[11]) end

-- Which lanes are free is asked before anything of this message waits in them.
local free,out,leases,woken={},{'ok'},0,false
local function isfree(lane)
  if free[lane]==nil then
    free[lane]=call('EXISTS',p..'l'..lane)==0
    local holders=free[lane] and call('HGET',p..'j',lane)
    if holders then
      for i=1,#holders,14 do
        if sub(holders,i,i+7)==node and unpk('>I6',holders,i+8)>now then free[lane]=false end
      end
    end
  end
  return free[lane]
end
for i=0,ng-1 do
  local lane=ARGV[grp+4*i+2]
  if ARGV[grp+4*i+1]=='R' and max_>0 then isfree(lane) end
end
for i=0,ng-1 do
  local kind,lane,due,idx=ARGV[grp+4*i+1],ARGV[grp+4*i+2],tonumber(ARGV[grp+4*i+3]),ARGV[grp+4*i+4]
  if kind=='L' then
    later(hz,due,id..idx) woken=true
  elseif leases<max_ and (only=='' or only==lane) and free[lane] then
    local tk=token(now)
    leases=leases+1
    local s={'HSET',mk}
    for j=1,#idx,2 do
      local k=unpk('>I2',idx,j)
      local r=ARGV[recs+k+1]
      tally(shown,string.byte(r,14),-1) tally(shown,2,1)
      s[#s+1]=k s[#s+1]=pack('>I4I8B',1,tk,1)..sub(r,14)
    end
    call(unpack(s))
    call('ZADD',p..'x',now+ttl,pack('>I8',tk)..id..idx)
    charge(prio,acct,#idx/2)
    out[#out+1]=string.format('%.0f',tk) out[#out+1]=i
  else
    push(false,prio,acct,lane,due,id..idx) woken=true
  end
end
call('RPUSH',p..'s'..seg,id)
if sn==0 then call('HSET',p..'g'..seg,'lo',string.format('%.0f',now)) call('ZADD',p..'s',seg,seg) end
put('sg',seg) put('sn',sn+1)
counts(seg,shown,stored)
weigh(lanes)
if open==0 then ended(id,tonumber(ARGV[12]),ARGV[13]=='1') end
if ARGV[21]=='0' then log(now,id,0,1+ne) end
if woken then woke() end
save()
return out
