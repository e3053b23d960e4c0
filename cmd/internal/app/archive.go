package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"postrider/configs"
	"postrider/queue"
	"postrider/queue/archive"
	"postrider/queue/logstore"
)

// Archive is an open store that no relay uses, to be moved.
type Archive struct {
	archive.Store
	Name string // for people and checkpoints: a directory, or a URL without secrets

	close func() error
}

// Close lets go of the store.
func (a *Archive) Close() error { return a.close() }

// OpenArchive opens a store to move it: in a directory, at the URL of a Redis,
// or, if where is empty, the one of the configuration. It refuses one that a
// relay uses, and with there one that is not there yet.
func OpenArchive(ctx context.Context, c *configs.Config, where string, there bool, log *slog.Logger) (*Archive, error) {
	place := *c
	switch {
	case where == "":
	case strings.Contains(where, "://"):
		u, err := configs.ParseStoreURL(where)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", scheme(where), err)
		}
		place.Store = u
	default:
		place.Store, place.DataDir = configs.StoreURL{}, where
	}
	if place.Store.Embedded() {
		return openEmbeddedArchive(ctx, &place, there, log)
	}
	return openRedisArchive(ctx, &place, log)
}

// scheme is what may be repeated of a URL.
func scheme(url string) string {
	s, _, _ := strings.Cut(url, "://")
	return s + "://…"
}

// What is given to the index of a store that is copied: it is read and written
// all over.
const (
	archiveCache    = 64 << 20
	archiveMemTable = 32 << 20
)

func openEmbeddedArchive(ctx context.Context, c *configs.Config, there bool, log *slog.Logger) (*Archive, error) {
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, err
	}
	if exists, err := logstore.Exists(vfs.Default, dir); err != nil {
		return nil, fmt.Errorf("look for a store in %s: %w", dir, err)
	} else if there && !exists {
		return nil, fmt.Errorf("there is no store in %s: name the data directory of a relay, which has a file FORMAT, or the redis:// URL of its store", dir)
	}
	// As serve makes it: others must reach the sockets inside.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	s, err := logstore.Open(ctx, logstore.Options{
		Dir: dir, MinFree: orNone(c.Storage.MinFree), ReserveBytes: orNone(c.Storage.Reserve),
		CacheSize: archiveCache, MemTableSize: archiveMemTable, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	return &Archive{Store: s, Name: dir, close: s.Close}, nil
}

func openRedisArchive(ctx context.Context, c *configs.Config, log *slog.Logger) (*Archive, error) {
	s, err := openRedis(ctx, c, StoreOptions{Node: newNode(c.Hostname), Logger: log, Exclusive: true})
	if err != nil {
		return nil, err
	}
	a, ok := s.(archive.Store)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the store %s cannot be moved", c.Store), s.Close())
	}
	return &Archive{Store: a, Name: c.Store.String(), close: s.Close}, nil
}

// refuseUnfinished keeps a relay off a store that is half of a copy: what it
// lacks would be missing, and what it has would be sent from here and from where
// it came from.
func refuseUnfinished(ctx context.Context, r queue.Registry) error {
	from, unfinished, err := archive.Unfinished(ctx, r)
	if err != nil {
		return fmt.Errorf("look whether the store is complete: %w", err)
	}
	if unfinished {
		return fmt.Errorf("the store is a copy of %s that was not finished: run that `postrider store copy` or `restore` again, it goes on where it was", from)
	}
	return nil
}
