-- claim takes or renews exclusive work.
-- KEYS: claim
-- ARGV: now ms, end ms, holder
-- returns: the fence as text, or 0 if another has it
-- cost: O(1)
local k,now=KEYS[1],tonumber(ARGV[1])
local c=redis.call('HMGET',k,'h','e','f')
if c[1] and c[1]~='' and c[1]~=ARGV[3] and tonumber(c[2])>now then return 0 end
local f=tonumber(c[3] or 0)
if c[1]~=ARGV[3] then f=math.max(f+1,now) end
redis.call('HSET',k,'h',ARGV[3],'e',ARGV[2],'f',string.format('%.0f',f))
return string.format('%.0f',f)
