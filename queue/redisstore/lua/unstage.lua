-- unstage takes a content off the list of those that nobody names, and removes
-- its chunks if asked. Of those who do, one is told that it was there.
-- KEYS: contents
-- ARGV: content, remove 0|1
-- returns: 1 if it was on the list
-- cost: O(chunks)
local call=redis.call
local k,id=KEYS[1],ARGV[1]
local was=call('ZREM',k..'s',id)
if was==0 then return 0 end
call('HDEL',k..'o',id)
if ARGV[2]=='1' then
  local i=0
  repeat
    local names={}
    for n=i,i+15 do names[#names+1]=k..id..'.'..n end
    i=i+16
  until call('UNLINK',unpack(names))==0
end
return 1
