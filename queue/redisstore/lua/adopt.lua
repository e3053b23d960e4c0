-- adopt makes the store if there is none, brings it to a newer format if no node
-- of an older one runs, and notes that a node runs.
-- KEYS: meta
-- ARGV: format of the node, partitions for a new store, ms a node lives, its line
--   (format, 1 if it wants the store for itself, name), its key, exclusive 0|1
-- returns: {'ok', partitions} | {'newer', format} | {'wait', format, names of older nodes}
--   | {'busy', names of nodes in the way}
-- cost: O(nodes)
local call=redis.call
local k=KEYS[1]
local mine=tonumber(ARGV[1])
local t=call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local f=tonumber(call('HGET',k,'format') or 0)
if f>mine then return {'newer',tostring(f)} end
local older,others={},{}
local all=call('HGETALL',k..'n')
for i=1,#all,2 do
  local at,its,alone,name=string.match(all[i+1],'^(%d+) (%d+) (%d) (.*)$')
  local age=now-tonumber(at)
  if age>100*tonumber(ARGV[3]) then call('HDEL',k..'n',all[i]) end
  if all[i]~=ARGV[5] and age<tonumber(ARGV[3]) then
    if tonumber(its)<mine then older[#older+1]=name end
    if ARGV[6]=='1' or alone=='1' then others[#others+1]=name end
  end
end
if #others>0 then return {'busy',table.concat(others,', ')} end
if f<mine and f>0 and #older>0 then return {'wait',tostring(f),table.concat(older,', ')} end
if f==0 then call('HSET',k,'partitions',ARGV[2]) end
if f<mine then call('HSET',k,'format',ARGV[1]) end
call('HSET',k..'n',ARGV[5],string.format('%.0f ',now)..ARGV[4])
return {'ok',call('HGET',k,'partitions')}
