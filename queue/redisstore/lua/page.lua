-- page reads the messages of a segment, all their fields but events.
-- KEYS: partition
-- ARGV: id …
-- returns for each: {header, content reference, facts, record …}, or {} if it is gone
-- cost: O(recipients of these messages)
local out={}
for a=1,#ARGV do
  local mk=p..'m'..ARGV[a]
  local r=call('HMGET',mk,'h','b','s')
  if r[1] then
    local _,_,n=unpk('>I5I2I2',r[3])
    local t={r[1],r[2] or '',r[3]}
    for i=0,n-1,500 do
      local f={}
      for k=i,math.min(n,i+500)-1 do f[#f+1]=k end
      for _,v in ipairs(call('HMGET',mk,unpack(f))) do t[#t+1]=v end
    end
    out[a]=t
  else
    out[a]={}
  end
end
return out
