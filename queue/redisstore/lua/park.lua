-- park keeps a lane from being leased by a node until then, or no longer.
-- KEYS: partition
-- ARGV: now ms, until ms, lane, node, touch 0|1
-- returns: 1 if something may have become ready
-- cost: O(accounts and priorities that have something in the lane)
local now,till,lane,node=tonumber(ARGV[1]),tonumber(ARGV[2]),ARGV[3],ARGV[4]
local fs=call('ZRANGE',p..'l'..lane,0,-1)
local old=call('HGET',p..'j',lane) or ''
if ARGV[5]=='1' then touch(p..'jz',p..'l'..lane) end
local kept,last='',0
for i=1,#old,14 do
  local at=unpk('>I6',old,i+8)
  if sub(old,i,i+7)~=node and at>now then kept,last=kept..sub(old,i,i+13),max(last,at) end
end
if till>now then kept,last=kept..node..pack('>I6',till),max(last,till) end
if kept=='' then
  if old=='' then return 0 end
  free(lane) woke() save()
  return 1
end
call('HSET',p..'j',lane,kept)
call('ZADD',p..'jz',last,lane)
if old=='' then
  for _,fl in ipairs(fs) do rest(sub(fl,1,1),sub(fl,2),lane) end
  if #fs>0 then woke() save() end -- others may serve it
end
return 0
