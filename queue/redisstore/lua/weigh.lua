-- weigh counts recipients in their lanes that an older version did not count.
-- KEYS: partition
-- ARGV: touch 0|1, id …
-- returns: how many
-- cost: O(recipients of these messages)
if ARGV[1]=='1' then touch() end
local did=0
for a=2,#ARGV do
  local mk=p..'m'..ARGV[a]
  local s=call('HGET',mk,'s')
  local n=0
  if s then n=select(3,unpk('>I5I2I2',s)) end
  for i=0,n-1,500 do
    local f,lanes,set={},{},{'HSET',mk}
    for k=i,math.min(n,i+500)-1 do f[#f+1]=k end
    for j,v in ipairs(call('HMGET',mk,unpack(f))) do
      local flags=string.byte(v,16)
      if waits(string.byte(v,14)) and floor(flags/2)%2==0 then
        local now=sub(v,1,15)..string.char(flags+2)..sub(v,17)
        inlane(lanes,now,13,1)
        set[#set+1]=f[j] set[#set+1]=now
        did=did+1
      end
    end
    if #set>2 then call(unpack(set)) weigh(lanes) end
  end
end
return did
