package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"postrider/queue"
)

var _ queue.Folders = (*Store)(nil)

// The fields of a shelf: one has its version, those of its index begin with a
// letter.
const (
	versionField = "v"
	indexField   = "i"
)

// FolderHead returns how an account's shelf is. Its lineage is the replication id
// of the master that has it: a server that becomes master makes up a new one, and
// so does one that starts.
func (s *Store) FolderHead(ctx context.Context, account string) (queue.FolderHead, error) {
	sh, err := s.shelf(ctx, account, false)
	if err != nil {
		return queue.FolderHead{}, fmt.Errorf("read the head of %s's folders: %w", account, err)
	}
	return sh.head, nil
}

// FolderIndex returns a whole index.
func (s *Store) FolderIndex(ctx context.Context, account string) (queue.FolderHead, map[string][]byte, error) {
	sh, err := s.shelf(ctx, account, true)
	if err != nil {
		return queue.FolderHead{}, nil, fmt.Errorf("read the index of %s's folders: %w", account, err)
	}
	return sh.head, sh.index, nil
}

// shelf is what was read of one.
type shelf struct {
	head  queue.FolderHead
	born  uint64 // its first version, which tells it from the next after a drop
	index map[string][]byte
}

func (s *Store) shelf(ctx context.Context, account string, whole bool) (shelf, error) {
	if err := s.enter(ctx); err != nil {
		return shelf{}, err
	}
	defer s.leave()
	return s.readShelf(ctx, account, whole)
}

// readShelf asks again if another server has become master meanwhile.
func (s *Store) readShelf(ctx context.Context, account string, whole bool) (shelf, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Patience)
	defer cancel()
	for {
		sh, ok, err := s.readShelfOnce(ctx, s.keys.folder(account), whole)
		if ok || err != nil {
			return sh, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return shelf{}, fmt.Errorf("another server is becoming master: %w", queue.ErrUnavailable)
		}
	}
}

// readShelfOnce asks for the lineage before and after what it asks for: ids do
// not come back, so that the same one means that nothing changed between.
func (s *Store) readShelfOnce(ctx context.Context, key string, whole bool) (sh shelf, ok bool, err error) {
	cmds, err := s.sv.ask(ctx, s.o.Patience, key, func(ctx context.Context, p redis.Pipeliner) {
		p.Info(ctx, "replication")
		if whole {
			p.HGetAll(ctx, key)
		} else {
			p.HGet(ctx, key, versionField)
		}
		p.Info(ctx, "replication")
	})
	if err != nil {
		return shelf{}, false, err
	}
	before, after := lineage(cmds[0].(*redis.StringCmd).Val()), lineage(cmds[2].(*redis.StringCmd).Val())
	if before == "" || before != after {
		return shelf{}, false, nil
	}
	sh.head.Lineage = before
	if !whole {
		err = sh.setVersion(cmds[1].(*redis.StringCmd).Val())
		return sh, err == nil, err
	}
	fields := cmds[1].(*redis.MapStringStringCmd).Val()
	sh.index = make(map[string][]byte, len(fields))
	for field, value := range fields {
		if key, ok := strings.CutPrefix(field, indexField); ok {
			sh.index[key] = []byte(value)
		}
	}
	err = sh.setVersion(fields[versionField])
	return sh, err == nil, err
}

// lineage is the replication id of a master, or empty.
func lineage(text string) string {
	info := parseInfo(text)
	if info["role"] != "master" {
		return ""
	}
	return info["master_replid"]
}

// setVersion reads the field that foldercommit.lua writes: version, first version,
// nonce.
func (sh *shelf) setVersion(v string) error {
	switch {
	case v == "":
		return nil
	case len(v) < 16:
		return fmt.Errorf("its version cannot be read: %w", queue.ErrUnavailable)
	}
	sh.head.Version, sh.born = binary.BigEndian.Uint64([]byte(v[:8])), binary.BigEndian.Uint64([]byte(v[8:16]))
	return nil
}

// rowsAtOnce is how many rows one command asks for.
const rowsAtOnce = 500

// FolderRows returns rows in the order of their keys.
func (s *Store) FolderRows(ctx context.Context, account string, keys []string) ([][]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if len(keys) == 0 {
		return nil, nil
	}
	key := s.keys.folder(account)
	cmds, err := s.sv.ask(ctx, s.o.Patience, key, func(ctx context.Context, p redis.Pipeliner) {
		for some := range slices.Chunk(keys, rowsAtOnce) {
			p.HMGet(ctx, key+"r", some...)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read %d rows of %s's folders: %w", len(keys), account, err)
	}
	rows := make([][]byte, 0, len(keys))
	for _, cmd := range cmds {
		for _, v := range cmd.(*redis.SliceCmd).Val() {
			var row []byte
			if text, ok := v.(string); ok {
				row = []byte(text)
			}
			rows = append(rows, row)
		}
	}
	if len(rows) != len(keys) {
		return nil, fmt.Errorf("read %d rows of %s's folders: %d were given: %w", len(keys), account, len(rows), queue.ErrUnavailable)
	}
	return rows, nil
}

// FolderDrop removes a shelf in one step. The account's name stays in the list of
// those that may have one: another node may be about to begin the next.
func (s *Store) FolderDrop(ctx context.Context, account string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	sh, err := s.readShelf(ctx, account, false)
	if err == nil {
		_, err = s.change(ctx, scripts.folderDrop, s.keys.folder(account), []any{strconv.FormatUint(sh.born, 10), s.touch()}, nil)
	}
	if err != nil {
		return fmt.Errorf("drop %s's folders: %w", account, err)
	}
	return nil
}

// FolderCommit changes a shelf, index and rows together.
func (s *Store) FolderCommit(ctx context.Context, account string, w queue.FolderWrite) (uint64, error) {
	version, err := s.folderCommit(ctx, account, &w)
	if err != nil {
		return 0, fmt.Errorf("commit to %s's folders: %w", account, err)
	}
	return version, nil
}

func (s *Store) folderCommit(ctx context.Context, account string, w *queue.FolderWrite) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	if err := checkFolderWrite(w); err != nil {
		return 0, err
	}
	if w.Version == 0 { // listed first: a shelf that is not listed would never be found
		if _, err := s.change(ctx, scripts.folderName, s.keys.folderNames(), []any{account}, nil); err != nil {
			return 0, err
		}
	}
	args, puts := s.folderArgs(w)
	c := &call{script: scripts.folderNote, key: s.keys.folder(account), args: args, durable: true, repeat: func([]any) {}}
	if puts {
		c.script = scripts.folderPut
	}
	v, err := s.sv.run(ctx, s.o.Patience, c)
	if err != nil {
		return 0, err
	}
	text, ok := v.(string)
	switch {
	case !ok && (c.ambiguous || c.first != nil && c.first != v):
		// Somebody may have built upon it before we asked again.
		return 0, fmt.Errorf("whether it was done is not known: %w", queue.ErrUnavailable)
	case !ok:
		return 0, queue.ErrVersion
	case c.unsafe:
		return 0, fmt.Errorf("%w: %w", queue.ErrUnavailable, errNoReplica)
	}
	return strconv.ParseUint(text, 10, 64)
}

// checkFolderWrite keeps to the limits of the role.
func checkFolderWrite(w *queue.FolderWrite) error {
	total := 0
	for _, part := range []map[string][]byte{w.Index, w.Rows} {
		for k, v := range part {
			if len(k) > queue.MaxFolderKey {
				return fmt.Errorf("a key has %d octets, more than %d", len(k), queue.MaxFolderKey)
			}
			if len(v) > queue.MaxFolderValue {
				return fmt.Errorf("a value has %d octets, more than %d", len(v), queue.MaxFolderValue)
			}
			total += len(k) + len(v)
		}
	}
	if total > queue.MaxFolderCommit {
		return fmt.Errorf("it has %d octets, more than %d", total, queue.MaxFolderCommit)
	}
	return nil
}

// folderArgs is what foldercommit.lua takes, and whether rows are put.
func (s *Store) folderArgs(w *queue.FolderWrite) (args []any, puts bool) {
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce) // never fails
	args = append(make([]any, 0, 8+2*len(w.Index)+2*len(w.Rows)),
		strconv.FormatUint(w.Version, 10), w.Lineage, nonce, s.touch(), 0, 0, 0, 0)
	part := func(m map[string][]byte, prefix string, count int) {
		gone := make([]any, 0, len(m))
		for k, v := range m {
			if v == nil {
				gone = append(gone, prefix+k)
			} else {
				args = append(args, prefix+k, v)
			}
		}
		args[count], args[count+1] = len(m)-len(gone), len(gone)
		args = append(args, gone...)
	}
	part(w.Index, indexField, 4)
	part(w.Rows, "", 6)
	return args, args[6] != 0
}
