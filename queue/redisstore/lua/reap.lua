-- reap ends up to limit leases whose time is over; what they held waits again.
-- Where an action is pending its recipients are named instead, until somebody
-- has done it.
local function reap(now,limit,pending)
  pending=pending or {}
  local ms=call('ZRANGE',p..'x','-inf',now,'BYSCORE','LIMIT',0,limit)
  for _,m in ipairs(ms) do
    local again=string.byte(m,1)==255
    local from=again and 2 or 1
    local tk,id,idx=unpk('>I8',m,from),sub(m,from+8,from+21),indexes(m,from+22)
    local mk=p..'m'..id
    local r=call('HMGET',mk,'h',unpack(idx))
    local set,shown,due,kept={'HSET',mk},{},{},false
    for i,k in ipairs(idx) do
      local v=r[1] and r[1+i]
      if v then
        local rev,t,status,st,pend,_,at,n=unpk('>I4I8BBBBI6I2',v)
        if t==tk and status==(again and 2 or 1) then
          if status==1 then
            set[#set+1]=k set[#set+1]=pack('>I4I8B',(rev+1)%4294967296,t,2)..sub(v,14)
            tally(shown,2,-1) tally(shown,st,1)
          end
          if pend~=0 then
            pending[#pending+1]=id pending[#pending+1]=k kept=true
          elseif waits(st) then
            local lane=sub(v,25,24+n)
            local d=due[lane]
            if not d then d={at,id} due[lane]=d end
            if at<d[1] then d[1]=at end
            d[2]=d[2]..pack('>I2',k)
          end
        end
      end
    end
    if #set>2 then call(unpack(set)) end
    for st,d in pairs(shown) do call('HINCRBY',p..'c',st,d) end
    if next(due) then
      local prio,acct=owner(r[1])
      for lane,d in pairs(due) do push(true,prio,acct,lane,d[1],d[2]) end
    end
    if not again then call('ZREM',p..'x',m) m='\255'..m end
    if kept then call('ZADD',p..'x',now+5000,m) else call('ZREM',p..'x',m) end
  end
  return pending
end

-- unpark ends the parking of up to limit lanes whose time is over.
local function free(lane)
  call('HDEL',p..'j',lane) call('ZREM',p..'jz',lane)
  local fs=call('ZRANGE',p..'l'..lane,0,-1,'WITHSCORES')
  for i=1,#fs,2 do ready(sub(fs[i],1,1),sub(fs[i],2),lane,fs[i+1]) end
end

local function unpark(now,limit)
  for _,lane in ipairs(call('ZRANGE',p..'jz','-inf',now,'BYSCORE','LIMIT',0,limit)) do free(lane) end
end
