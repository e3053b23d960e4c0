-- events reads the log after a place.
-- KEYS: partition
-- ARGV: id of the entry, how many of its events were read, limit
-- returns: {'gone'} | {'ok', (entry id, message id, k, header|'', segment facts, event …) …}; the
--   k-th event is the first that is given, number 0 is the queued one, made of the header
-- cost: O(limit)
local from,skip,limit=ARGV[1],tonumber(ARGV[2]),tonumber(ARGV[3])
local trimmed=call('HGET',p,'tr')
if from~='' and trimmed then
  local ms,seq=string.match(trimmed,'(%d+)-(%d+)')
  local ms2,seq2=string.match(from,'(%d+)-(%d+)')
  ms,seq,ms2,seq2=tonumber(ms),tonumber(seq),tonumber(ms2),tonumber(seq2)
  if ms2<ms or (ms2==ms and seq2<seq) then return {'gone'} end
end
local out={'ok'}
local es
if from=='' then es=call('XRANGE',p..'e','-','+','COUNT',limit)
elseif skip>0 then es=call('XRANGE',p..'e',from,'+','COUNT',limit+1)
else es=call('XRANGE',p..'e','('..from,'+','COUNT',limit) end
local left=limit
for _,e in ipairs(es) do
  if left<=0 then break end
  local v=e[2][2]
  local id,k,n=sub(v,1,14),unpk('>I4I2',v,15)
  local first=0
  if e[1]==from then first=skip end
  local want={}
  for i=first,n-1 do
    if #want>=left then break end
    want[#want+1]='e'..(k+i)
  end
  left=left-#want
  if #want>0 then
    local r=call('HMGET',p..'m'..id,'h','s',unpack(want))
    out[#out+1]={e[1],id,k,first,n,r[1] or '',r[2] or '',unpack(r,3,2+#want)}
  else
    out[#out+1]={e[1],id,k,first,n,'',''}
  end
end
return out
