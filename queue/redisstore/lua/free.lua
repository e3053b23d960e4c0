-- free gives a slot back.
-- KEYS: slots
-- ARGV: holder
-- cost: O(1)
return redis.call('HDEL',KEYS[1],ARGV[1])
