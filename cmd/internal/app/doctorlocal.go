package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	v1 "postrider/api/v1"
	"postrider/configs"
	"postrider/dkim"
	"postrider/queue"
	"postrider/queue/logstore"
	"postrider/relay/doctor"
)

// ExamineStopped examines a relay that does not run, from its configuration and,
// if nobody else has it open, its store. What could not be had is said in the
// findings.
func ExamineStopped(ctx context.Context, c *configs.Config, domains []string, log *slog.Logger) (v1.Examination, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	s := &surgery{cfg: c, now: time.Now, log: log}
	store, err := openIdle(ctx, c, log)
	if err != nil {
		s.noStore = err.Error()
	} else {
		defer store.Close()
		s.store = store
	}
	if s.store != nil {
		known, err := storedRenewals(ctx, c, s.store)
		if err != nil {
			return v1.Examination{}, err
		}
		s.renewals = func() []doctor.Renewal { return known }
	}
	if err := s.takeKeys(); err != nil {
		return v1.Examination{}, err
	}
	return s.examine(ctx, domains)
}

// takeKeys takes the keys of the store and those that were imported. None is made.
func (s *surgery) takeKeys() error {
	imported, err := importedKeys(s.cfg)
	if err != nil {
		return err
	}
	o := dkim.KeyringOptions{Imported: imported, Now: s.now, Logger: s.log}
	if s.store != nil {
		o.Store = dkimStore{s.store}
	} else if len(imported) == 0 {
		return nil
	}
	keyring, err := dkim.NewKeyring(o)
	if err != nil {
		return fmt.Errorf("DKIM: %w", err)
	}
	s.keys, s.signer = keyring, sampleSigner(keyring, s.cfg)
	return nil
}

// openIdle opens a store that exists, if that changes nothing for the relay: files
// that another user makes are closed to it.
func openIdle(ctx context.Context, c *configs.Config, log *slog.Logger) (queue.Store, error) {
	if !c.Store.Embedded() {
		return OpenStore(ctx, c, StoreOptions{Node: newNode(c.Hostname), Logger: log})
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, err
	}
	exists, err := logstore.Exists(vfs.Default, dir)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the store in %s may not be read by this user: run this command as the relay's own", dir)
	case err != nil:
		return nil, fmt.Errorf("look for a store in %s: %w", dir, err)
	case !exists:
		return nil, fmt.Errorf("there is no store in %s yet", dir)
	case !ownedByUs(dir):
		return nil, fmt.Errorf("the store in %s belongs to another user: run this command as the relay's own", dir)
	}
	return OpenStore(ctx, c, StoreOptions{Node: newNode(c.Hostname), Logger: log})
}
