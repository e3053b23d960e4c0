-- rate takes from a rate by the generic cell rate algorithm, all or nothing.
-- Times are in units of 100 ns, which a number holds exactly until 2255.
-- KEYS: rate
-- ARGV: now, what n take, depth of the bucket, ms to keep it beyond its end
-- returns: '' if they were taken, else how long until they may be
-- cost: O(1)
local now,take,depth=tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3])
local full=math.max(tonumber(redis.call('GET',KEYS[1]) or 0),now)+take
local wait=full-depth-now
if wait>0 then return string.format('%.0f',wait) end
redis.call('SET',KEYS[1],string.format('%.0f',full),'PX',string.format('%.0f',math.floor((full-now)/10000)+tonumber(ARGV[4])))
return ''
