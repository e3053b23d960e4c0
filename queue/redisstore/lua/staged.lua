-- staged lists contents that nobody named for a time, with their owners.
-- KEYS: contents
-- ARGV: age ms of those without an end, age ms of those that were given up, limit
-- returns: content, owner|'' …
-- cost: O(limit)
local call=redis.call
local k=KEYS[1]
local t=call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local out={}
local ids=call('ZRANGE',k..'s','-inf',now-math.min(tonumber(ARGV[1]),tonumber(ARGV[2])),'BYSCORE','LIMIT',0,ARGV[3],'WITHSCORES')
for i=1,#ids,2 do
  local o=call('HGET',k..'o',ids[i]) or ''
  local age=tonumber(ARGV[1])
  if string.sub(o,1,1)=='d' then age=tonumber(ARGV[2]) end
  if tonumber(ids[i+1])<=now-age then out[#out+1]=ids[i] out[#out+1]=o end
end
return out
