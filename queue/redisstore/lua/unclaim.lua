-- unclaim gives exclusive work back. The claim is remembered for its fence.
-- KEYS: claim
-- ARGV: holder
-- returns: 1 if it was the holder's, else 0
-- cost: O(1)
if redis.call('HGET',KEYS[1],'h')==ARGV[1] then redis.call('HSET',KEYS[1],'h','') return 1 end
return 0
