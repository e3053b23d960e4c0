-- extend moves the end of leases, also of those that ended but were not granted
-- again.
-- KEYS: partition
-- ARGV: end ms, touch 0|1, lease (token I8, id, indexes) …
-- returns for each: 1, or 0 if it holds nothing any more
-- cost: O(leases), and O(recipients) of those that had ended
local till=ARGV[1]
if ARGV[2]=='1' then touch() end
local out={}
for a=3,#ARGV do
  local lease=ARGV[a]
  if call('ZSCORE',p..'x',lease) then
    call('ZADD',p..'x','XX',till,lease)
    out[#out+1]=1
  else
    local tk,id,idx=unpk('>I8',lease),sub(lease,9,22),indexes(lease,23)
    local mk=p..'m'..id
    local r=call('HMGET',mk,unpack(idx))
    local set,shown,held={'HSET',mk},{},0
    for i,k in ipairs(idx) do
      if r[i] then
        local rev,t,status,st=unpk('>I4I8BB',r[i])
        if t==tk and (status==1 or status==2) then
          held=1
          if status==2 then
            set[#set+1]=k set[#set+1]=pack('>I4I8B',(rev+1)%4294967296,t,1)..sub(r[i],14)
            tally(shown,st,-1) tally(shown,2,1)
          end
        end
      end
    end
    if held==1 then
      if #set>2 then call(unpack(set)) end
      for st,d in pairs(shown) do call('HINCRBY',p..'c',st,d) end
      call('ZREM',p..'x','\255'..lease)
      call('ZADD',p..'x',till,lease)
    end
    out[#out+1]=held
  end
end
return out
