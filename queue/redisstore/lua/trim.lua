-- trim drops events of the log that are older than a time, and forgets what
-- accounts that are idle have been given.
-- KEYS: partition
-- ARGV: older than ms (0: none), limit, touch 0|1, now ms
-- returns: how many entries of the log went
-- cost: O(limit)
local before,limit=tonumber(ARGV[1]),tonumber(ARGV[2])
if ARGV[3]=='1' then touch() end
local clock=tonumber(call('HGET',p,'v') or 0)
local c=call('HSCAN',p..'v',call('HGET',p,'vc') or '0','COUNT',50)
local idle={}
for i=1,#c[2],2 do
  if unpk('>d',c[2][i+1])<=clock and not call('ZSCORE',p..'a',c[2][i]) then idle[#idle+1]=c[2][i] end
end
call('HSET',p,'vc',c[1],'kn',ARGV[4])
if #idle>0 then call('HDEL',p..'v',unpack(idle)) end
local n=0
if before>0 then
  local es=call('XRANGE',p..'e','-',string.format('(%.0f-0',before),'COUNT',limit)
  n=#es
  if n>0 then
    local last=es[n][1]
    local ids={}
    for i=1,n do ids[i]=es[i][1] end
    call('XDEL',p..'e',unpack(ids))
    call('HSET',p,'tr',last)
  end
end
return n
