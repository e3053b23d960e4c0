-- foldername lists an account among those that may have a shelf.
-- KEYS: names
-- ARGV: account
-- returns: 1
-- cost: O(log accounts)
redis.call('ZREM',KEYS[1],ARGV[1]) -- a wait for replicas counts writes
redis.call('ZADD',KEYS[1],0,ARGV[1])
return 1
