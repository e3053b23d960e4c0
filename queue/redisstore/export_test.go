package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // EVALSHA names scripts by it
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
)

// AdoptSHA names the script that a node runs by the clock.
var AdoptSHA = scripts.adopt.sha

// EditScripts changes every script that has a piece of text, for good, and
// returns how many had it.
func EditScripts(old, new string) (n int) {
	for _, s := range allScripts() {
		if !strings.Contains(s.body, old) {
			continue
		}
		n++
		s.body = strings.ReplaceAll(s.body, old, new)
		sum := sha1.Sum([]byte(s.body)) //nolint:gosec // see above
		s.sha = hex.EncodeToString(sum[:])
	}
	return n
}

func allScripts() (all []*script) {
	v := reflect.ValueOf(&scripts).Elem()
	for i := range v.NumField() {
		// Unexported fields cannot be taken out as they are.
		all = append(all, (*script)(v.Field(i).UnsafePointer()))
	}
	return all
}

// RegisterAs signs a node on as one of a format, as Open does.
func RegisterAs(ctx context.Context, o Options, format int) error {
	o = o.withDefaults()
	s := &Store{o: o, keys: keys{o.Prefix}, sv: connect(o), node: "a node .."}
	return errors.Join(s.registerAs(ctx, format), s.sv.close())
}

// BeatAs gives a sign of life as a node of a format.
func (s *Store) BeatAs(ctx context.Context, format int) { s.beatAs(ctx, format) }

// FolderChanges name the scripts that change shelves.
var FolderChanges = []string{scripts.folderPut.sha, scripts.folderNote.sha, scripts.folderDrop.sha}
