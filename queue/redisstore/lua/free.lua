-- free gives a slot back.
-- KEYS: slots
-- ARGV: holder
-- returns: 1 if the holder had one, else 0
-- cost: O(1)
return redis.call('HDEL',KEYS[1],ARGV[1])
