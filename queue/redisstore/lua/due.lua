-- due tells when lease may find work.
-- KEYS: partition
-- ARGV: now ms, node
-- returns: ms as text, or '' if nothing waits; the account that is first, or ''
-- cost: O(1)
local now,node=tonumber(ARGV[1]),ARGV[2]
local first=call('ZRANGE',p..'a',0,0)[1]
if first then return {string.format('%.0f',now),first} end
local best
local function at(t) t=tonumber(t) if t and (not best or t<best) then best=t end end
at(call('ZRANGE',p..'n',0,0,'WITHSCORES')[2])
at(call('ZRANGE',p..'t',0,0,'WITHSCORES')[2])
at(call('ZRANGE',p..'x',0,0,'WITHSCORES')[2])
local js=call('ZRANGE',p..'jz',0,15,'WITHSCORES')
for i=1,#js,2 do
  if call('EXISTS',p..'l'..js[i])==1 then
    local holders,mine=call('HGET',p..'j',js[i]),false
    for k=1,#holders,14 do if sub(holders,k,k+7)==node then mine=true end end
    at(mine and js[i+1] or now)
  end
end
return {best and string.format('%.0f',best) or '',''}
