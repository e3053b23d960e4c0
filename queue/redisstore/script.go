package redisstore

import (
	"crypto/sha1" //nolint:gosec // EVALSHA names scripts by it
	"embed"
	"encoding/hex"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is one Lua script, known to the servers by its digest.
type script struct {
	name, body, sha string
}

// scripts are all of them. Those that take mail in, or rows of folders, are
// refused by a server that is out of memory; all others go on, so that a full
// queue can drain.
var scripts = struct {
	enqueue, stage                                           *script
	lease, park, due, change, mark, release, extend, retract *script
	events, page, sweep, trim, adopt                         *script
	put, drop                                                *script
	rate, slot, free, claim, unclaim, cache                  *script
	bury, unstage, staged, strip, annal, weigh               *script
	folderPut, folderNote, folderDrop, folderName            *script
}{
	enqueue: load("enqueue", false, "prelude"),
	stage:   load("stage", false),

	lease:   load("lease", true, "prelude", "reap"),
	park:    load("park", true, "prelude", "reap"),
	due:     load("due", true, "prelude"),
	change:  load("change", true, "prelude"),
	mark:    load("mark", true, "prelude"),
	release: load("release", true, "prelude"),
	extend:  load("extend", true, "prelude"),
	retract: load("retract", true, "prelude"),
	events:  load("events", true, "prelude"),
	page:    load("page", true, "prelude"),
	sweep:   load("sweep", true, "prelude"),
	trim:    load("trim", true, "prelude"),
	adopt:   load("adopt", true),

	put:  load("put", true),
	drop: load("drop", true),

	rate:    load("rate", true),
	slot:    load("slot", true),
	free:    load("free", true),
	claim:   load("claim", true),
	unclaim: load("unclaim", true),
	bury:    load("bury", true),
	unstage: load("unstage", true),
	staged:  load("staged", true),
	strip:   load("strip", true, "prelude"),
	annal:   load("annal", false, "prelude"),
	weigh:   load("weigh", true, "prelude"),
	cache:   load("cache", true),

	folderPut:  load("foldercommit", false),
	folderNote: load("foldercommit", true),
	folderDrop: load("folderdrop", true),
	folderName: load("foldername", true),
}

func load(name string, allowFull bool, before ...string) *script {
	// Without the first line a script may write into a foreign slot unnoticed.
	body := "#!lua\n"
	if allowFull {
		body = "#!lua flags=allow-oom\n"
	}
	for _, f := range append(before, name) {
		b, err := luaFiles.ReadFile("lua/" + f + ".lua")
		if err != nil {
			panic(err) // it is embedded
		}
		body += string(b)
	}
	sum := sha1.Sum([]byte(body)) //nolint:gosec // see above
	return &script{name: name, body: body, sha: hex.EncodeToString(sum[:])}
}
