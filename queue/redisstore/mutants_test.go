package redisstore_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"postrider/queue"
	"postrider/queue/redisstore"
	"postrider/queue/redistest"
	"postrider/queue/storetest"
)

// mutantVariable names the mutant that a child process runs the suite on.
const mutantVariable = "REDISSTORE_MUTANT"

// edit replaces a piece of script text. Of several, each must be there.
type edit struct{ old, new string }

// mutants are scripts broken in one place each, with the groups of the suite
// that must catch them.
var mutants = map[string]struct {
	groups string
	edits  []edit
}{
	"none": {groups: "fence|settle|lease|idempotency|operate|list|model"},
	"no fence check": {"fence", []edit{
		{"if tk~=tonumber(ARGV[c+2]) then return 0 end", ""},
	}},
	"reap without hint": {"fence|lease", []edit{
		{"for lane,d in pairs(due) do push(true,prio,acct,lane,d[1],d[2]) end\n    end\n    if not again", "end\n    if not again"},
	}},
	"lease without the record's state check": {"fence|operate|model", []edit{
		{"if status==1 or not waits(st) or (status==2 and pend~=0) then", "if false then"},
	}},
	"lease without the record's due time": {"operate|fence|model", []edit{
		{"elseif due>now then", "elseif false then"},
	}},
	"settle without its event": {"settle|events", []edit{
		{"if ne>0 then log(now,id,events,ne) end", ""},
	}},
	"release without hint": {"lease", []edit{
		{"for lane,d in pairs(due) do push(true,prio,acct,lane,d[1],d[2]) end\nlocal held", "local held"},
	}},
	"mark without effect": {"fence", []edit{
		{"pend,flags+1)", "pend,flags)"},
	}},
	"mark under any token": {"fence", []edit{
		{"if t~=tk or status~=1 then return 0 end", ""},
	}},
	"enqueue without idempotency check": {"idempotency", []edit{
		{"if k and unpk('>I6',k,47)>now then", "if false then"},
	}},
	"enqueue without a look at the fingerprint": {"idempotency", []edit{
		{"return {'conflict'}", ""},
	}},
	"promote drops hints that are not due yet": {"fence", []edit{
		{"for _,w in ipairs(wait) do later(hz,w[1],w[2]) end\n    else", "else"},
	}},
	"lease drops hints that are not due yet": {"fence", []edit{
		{"for _,w in ipairs(wait) do later(hz,w[1],w[2]) end\n  if n>0", "if n>0"},
	}},
	"extend revives nothing": {"fence|lease", []edit{
		{"if t==tk and (status==1 or status==2) then\n          held=1", "if false then\n          held=1"},
	}},
	"half a refused settlement is done": {"settle|fence", []edit{
		{"if not old then return ARGV[c+1]=='T' and 0 or 2 end", "if i==1 then call(unpack(set)) end if not old then return 0 end"},
	}},
	"what has ended is still counted in its lane": {"list|model", []edit{
		{"inlane(lanes,old,13,-1) inlane(lanes,new,0,1)", "inlane(lanes,new,0,1)"},
	}},
	"what is enqueued is not counted in its lane": {"list|model", []edit{
		{"weigh(lanes)\nif open==0 then ended", "if open==0 then ended"},
	}},
	"rescheduled without its new end": {"operate", []edit{
		{"if head~='' then set[#set+1]='h' set[#set+1]=head end", ""},
	}},
	"tokens do not grow": {"fence|lease", []edit{
		{"put('f',f)\n  return f", "return 7"},
	}},
}

// TestSuiteCatchesMutants runs the suite on broken scripts, in processes of
// their own, and demands that it fails. The scripts as they are pass.
func TestSuiteCatchesMutants(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, 2)
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			c := exec.Command(self, "-test.run", "^TestMutant$/^("+m.groups+")$", "-test.failfast", "-test.timeout", "100s")
			c.Env = append(os.Environ(), mutantVariable+"="+name)
			out, err := c.CombinedOutput()
			failed := strings.Contains(string(out), "--- FAIL: TestMutant/")
			switch {
			case strings.Contains(string(out), noSuchText):
				t.Fatalf("the scripts changed, and the mutant must follow them:\n%s", out)
			case name == "none" && (err != nil || failed):
				t.Fatalf("the scripts as they are fail: %v\n%s", err, out)
			case name != "none" && !failed:
				t.Fatalf("the mutant survives: %v\n%s", err, out)
			}
		})
	}
}

const noSuchText = "no script has the text"

// TestMutant is the child's part. On its own it runs nothing.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantVariable)
	if name == "" {
		return
	}
	for _, e := range mutants[name].edits {
		if redisstore.EditScripts(e.old, e.new) == 0 {
			t.Fatalf("%s %q", noSuchText, e.old)
		}
	}
	b := newBench()
	on := redistest.StartServer(t)
	storetest.Run(t, storetest.Harness{
		Scale: 0.3, Reopen: b.reopen, Kill: b.kill,
		Open: func(t *testing.T) queue.Store {
			return b.open(t, redisstore.Options{Addrs: []string{on.Addr()}, Prefix: b.prefix()}, on)
		},
	})
}
