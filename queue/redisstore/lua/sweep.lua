-- sweep forgets a message, or its content, or keeps it for a later time. It
-- works off the oldest entries of a queue of retention one by one, as far as
-- Go has read and judged them.
-- KEYS: partition
-- ARGV: queue, bucket, touch 0|1, n, then for each entry taken from the head of the bucket:
--   id, facts as they were read|'', d drop | e entry | c content | m move, ms for m
-- returns: how many entries were worked off; fewer if one changed meanwhile
-- cost: O(n)
local q,b,n=ARGV[1],ARGV[2],tonumber(ARGV[4])
local bk=p..'d'..q..b
local ids=call('LRANGE',bk,0,n-1)
if ARGV[3]=='1' then touch(p..'s',p..'h6',p..'h8') end
local did=0
for i=1,n do
  local a=5+4*(i-1)
  local id,facts,what=ARGV[a],ARGV[a+1],ARGV[a+2]
  if ids[i]~=id then break end
  local mk=p..'m'..id
  local s=call('HGET',mk,'s')
  if (s or '')~=facts then break end
  if what=='e' then
    local seg,_,total=unpk('>I5I2I2',s)
    local f,shown={},{}
    for k=0,total-1 do f[#f+1]=k end
    for from=1,total,1000 do
      for _,v in ipairs(call('HMGET',mk,unpack(f,from,math.min(total,from+999)))) do tally(shown,string.byte(v,14),-1) end
    end
    if ARGV[3]=='1' then call('EXISTS',p..'b'..id,p..'g'..seg) end
    call('UNLINK',mk,p..'b'..id)
    counts(seg,shown,shown)
    -- A segment of which nothing is left goes, if it is not the one that grows.
    if call('HLEN',p..'g'..seg)<=1 and tonumber(call('HGET',p,'sg') or 0)>seg then
      call('UNLINK',p..'g'..seg,p..'s'..seg) call('ZREM',p..'s',seg)
    end
  elseif what=='c' then
    call('HDEL',mk,'b') call('UNLINK',p..'b'..id)
  elseif what=='m' then
    local nb=floor(tonumber(ARGV[a+3])/1048576)
    call('RPUSH',p..'d'..q..nb,id) call('ZADD',p..'d'..q,nb,nb)
  end
  did=did+1
end
if did>0 then call('LTRIM',bk,did,-1) end
if call('EXISTS',bk)==0 then call('ZREM',p..'d'..q,b) end
return did
