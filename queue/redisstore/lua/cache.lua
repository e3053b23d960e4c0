-- cache keeps a value until its end, by the caller's clock; the server forgets it
-- some time later by its own.
-- KEYS: cached value
-- ARGV: value with its end, ms to keep it
-- cost: O(1)
redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2])
return 1
