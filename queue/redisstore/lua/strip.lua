-- strip forgets the content of a message that is final.
-- KEYS: partition
-- ARGV: id, content reference, touch 0|1
-- returns: 1 if it had that content
-- cost: O(1)
local id=ARGV[1]
local r=call('HMGET',p..'m'..id,'b','s')
if ARGV[3]=='1' then call('EXISTS',p..'b'..id) end
if not r[1] or r[1]~=ARGV[2] then return 0 end
local _,open=unpk('>I5I2',r[2])
if open>0 then return 0 end
call('HDEL',p..'m'..id,'b')
call('UNLINK',p..'b'..id)
return 1
