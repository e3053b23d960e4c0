-- adopt makes the store if there is none, brings it to a newer format if no node
-- of an older one runs, and notes that a node runs.
-- KEYS: meta
-- ARGV: format of the node, partitions for a new store, ms a node lives, its line, its name
-- returns: {'ok', partitions} | {'newer', format} | {'wait', format, lines of older nodes}
-- cost: O(nodes)
local call=redis.call
local k=KEYS[1]
local mine=tonumber(ARGV[1])
local t=call('TIME')
local now=t[1]*1000+math.floor(t[2]/1000)
local f=tonumber(call('HGET',k,'format') or 0)
if f>mine then return {'newer',tostring(f)} end
if f<mine and f>0 then
  local older={}
  local all=call('HGETALL',k..'n')
  for i=1,#all,2 do
    local at,line=string.match(all[i+1],'^(%d+) (.*)$')
    if all[i]~=ARGV[5] and tonumber(at)+tonumber(ARGV[3])>now and tonumber(string.match(line,'^%d+'))<mine then
      older[#older+1]=string.match(line,'^%d+ (.*)$')
    end
  end
  if #older>0 then return {'wait',tostring(f),table.concat(older,', ')} end
end
if f==0 then call('HSET',k,'partitions',ARGV[2]) end
if f<mine then call('HSET',k,'format',ARGV[1]) end
local all=call('HGETALL',k..'n')
for i=1,#all,2 do
  local at=string.match(all[i+1],'^%d+')
  if tonumber(at)+100*tonumber(ARGV[3])<now then call('HDEL',k..'n',all[i]) end
end
call('HSET',k..'n',ARGV[5],string.format('%.0f ',now)..ARGV[4])
return {'ok',call('HGET',k,'partitions')}
