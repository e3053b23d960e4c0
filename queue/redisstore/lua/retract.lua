-- retract takes back a message whose sender was told no, if nobody has seen to
-- it yet but who enqueued it.
-- KEYS: partition
-- ARGV: id, header, touch 0|1, key name|''
-- returns: 1 if it is gone
-- cost: O(recipients)
local id,mk=ARGV[1],p..'m'..ARGV[1]
local r=call('HMGET',mk,'h','s')
if not r[1] then return 1 end
if r[1]~=ARGV[2] then return 0 end
local seg,_,total,_,_=unpk('>I5I2I2BI4',r[2])
local f,shown,stored,lanes={},{},{},{}
for k=0,total-1 do f[#f+1]=k end
for from=1,total,1000 do
  for _,v in ipairs(call('HMGET',mk,unpack(f,from,math.min(total,from+999)))) do
    local rev,_,status,st,pend=unpk('>I4I8BBB',v)
    if rev~=1 or pend~=0 then return 0 end
    tally(shown,status==1 and 2 or st,-1) tally(stored,st,-1) inlane(lanes,v,13,-1)
  end
end
if ARGV[3]=='1' then touch(p..'b'..id,p..'g'..seg,p..'k'..ARGV[4]) end
call('UNLINK',mk,p..'b'..id)
if ARGV[4]~='' then call('DEL',p..'k'..ARGV[4]) end
counts(seg,shown,stored)
weigh(lanes)
return 1
