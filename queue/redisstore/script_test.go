package redisstore

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// Fragments stand before other scripts, and are not run on their own.
var fragments = map[string]bool{"lua/prelude.lua": true, "lua/reap.lua": true}

func TestScriptsSayWhatTheyTake(t *testing.T) {
	t.Parallel()
	for name, text := range luaTexts(t) {
		if fragments[name] {
			if !strings.HasPrefix(text, "-- ") {
				t.Errorf("%s does not say what it is for", name)
			}
			continue
		}
		header := ""
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "--") {
				break
			}
			header += line
		}
		own := strings.TrimSuffix(strings.TrimPrefix(name, "lua/"), ".lua")
		if !strings.HasPrefix(header, "-- "+own+" ") {
			t.Errorf("%s does not begin with what %s does", name, own)
		}
		for _, part := range []string{"\n-- KEYS: ", "\n-- ARGV: ", "\n-- cost: O("} {
			if !strings.Contains(header, part) {
				t.Errorf("the header of %s has no %q", name, strings.TrimSpace(part))
			}
		}
		if !strings.Contains(header, "\n-- returns") && regexp.MustCompile(`(?m)^return [^1]`).MatchString(text) {
			t.Errorf("the header of %s does not say what it returns", name)
		}
	}
}

// TestScriptsDoNotScan looks for commands whose cost grows with the queue. What
// is read whole is small by its nature: who holds slots, the nodes, the accounts
// that have something in one lane.
func TestScriptsDoNotScan(t *testing.T) {
	t.Parallel()
	never := regexp.MustCompile(`'(KEYS|SCAN|SMEMBERS|LREM|LINSERT|SORT|SORT_RO|HVALS|HKEYS|FLUSHDB|FLUSHALL|SUNION|ZUNION|EVAL)'`)
	whole := regexp.MustCompile(`'HGETALL'|'(?:LRANGE|ZRANGE)',[^)]*,0,-1|'XRANGE',[^)]*'-','\+'\)`)
	small := map[string]bool{
		"lua/adopt.lua 'HGETALL'": true, "lua/slot.lua 'HGETALL'": true,
		"lua/park.lua 'ZRANGE',p..'l'..lane,0,-1": true, "lua/reap.lua 'ZRANGE',p..'l'..lane,0,-1": true,
	}
	for name, text := range luaTexts(t) {
		for _, m := range never.FindAllString(text, -1) {
			t.Errorf("%s uses %s", name, m)
		}
		for _, m := range whole.FindAllString(text, -1) {
			if !small[name+" "+m] {
				t.Errorf("%s reads the whole of a key: %s", name, m)
			}
		}
	}
}

// TestScriptsKeepToTheirSlot demands that all keys are made of the one that a
// script is given.
func TestScriptsKeepToTheirSlot(t *testing.T) {
	t.Parallel()
	for _, s := range allScripts() {
		if !strings.HasPrefix(s.body, "#!lua") {
			t.Errorf("%s would not be kept to its slot", s.name)
		}
		if strings.Contains(s.body, "KEYS[2]") {
			t.Errorf("%s is for one key", s.name)
		}
	}
}

func luaTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := fs.WalkDir(luaFiles, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := luaFiles.ReadFile(path)
		texts[path] = string(b)
		return err
	})
	if err != nil || len(texts) < 20 {
		t.Fatalf("%d scripts, %v", len(texts), err)
	}
	return texts
}
