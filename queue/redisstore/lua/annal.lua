-- annal adds events that happened in another store to histories and to the log,
-- each once.
-- KEYS: partition
-- ARGV: touch 0|1, then for each: at ms, message id, event id, event|'' for the queued one
-- returns: 0, or the number of the first whose message is not there
-- cost: O(events of these messages)
if ARGV[1]=='1' then touch() end
for a=2,#ARGV,4 do
  local id=ARGV[a+1]
  local mk=p..'m'..id
  local s=call('HGET',mk,'s')
  if not s then return (a+2)/4 end
  local seg,open,total,fl,events=unpk('>I5I2I2BI4',s)
  if ARGV[a+3]=='' then
    if fl>=2 then
      call('HSET',mk,'s',pack('>I5I2I2BI4',seg,open,total,fl-2,events))
      log(tonumber(ARGV[a]),id,0,1) save()
    end
  else
    local known=false
    for k=1,events-1 do
      local e=call('HGET',mk,'e'..k)
      if e and sub(e,2,17)==ARGV[a+2] then known=true break end
    end
    if not known then
      call('HSET',mk,'e'..events,ARGV[a+3],'s',pack('>I5I2I2BI4',seg,open,total,fl,events+1))
      log(tonumber(ARGV[a]),id,events,1) save()
    end
  end
end
return 0
