-- slot takes or renews one of a number of slots.
-- KEYS: slots
-- ARGV: now ms, end ms, holder, limit
-- returns: 1 if it is the holder's
-- cost: O(holders)
local k,now=KEYS[1],tonumber(ARGV[1])
local all=redis.call('HGETALL',k)
local n,mine,ended=0,false,{}
for i=1,#all,2 do
  if tonumber(all[i+1])<=now then ended[#ended+1]=all[i]
  else
    n=n+1
    if all[i]==ARGV[3] then mine=true end
  end
end
if #ended>0 then redis.call('HDEL',k,unpack(ended)) end
if not mine and n>=tonumber(ARGV[4]) then return 0 end
redis.call('HSET',k,ARGV[3],ARGV[2])
redis.call('PEXPIRE',k,math.max(tonumber(ARGV[2])-now,0)+600000)
return 1
