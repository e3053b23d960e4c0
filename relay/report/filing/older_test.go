package filing_test

import (
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
	"postrider/queue/logstore"
	"postrider/queue/logstore/oldertest"
)

// A store that was written before there were folders is filled in.
func TestAStoreThatIsOlderThanFoldersIsFiled(t *testing.T) {
	t.Parallel()
	s, err := logstore.Open(t.Context(), logstore.Options{Dir: oldertest.Unpack(t), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w := &world{t: t, store: s, now: oldertest.End.Add(time.Minute)}
	w.book = folders.New(folders.Options{Store: s, Contents: s, Now: w.clock})
	w.filer = w.newFiler()
	w.round()
	want := map[string]map[string]int{"shop": {}, "blog": {}}
	for _, l := range oldertest.Letters() {
		f := want[l.Account]
		for folder, n := range expected(l) {
			f[folder] += n
		}
	}
	for account, f := range want {
		v := w.view(account)
		for _, folder := range []string{folders.FolderQueued, folders.FolderDeferred, folders.FolderSent} {
			if got := v.Set(folder).Len(); got != f[folder] {
				t.Errorf("%s of %s has %d entries, want %d", folder, account, got, f[folder])
			}
		}
		if got := v.Set(folders.FolderBounced).Len(); (got > 0) != (f[folders.FolderBounced] > 0) {
			t.Errorf("Bounced of %s has %d entries, want some of %d messages", account, got, f[folders.FolderBounced])
		}
	}
	before := map[string]string{"shop": w.shown("shop"), "blog": w.shown("blog")}
	w.filer = w.newFiler()
	w.round()
	for account, was := range before {
		if got := w.shown(account); got != was {
			t.Errorf("a second run shows %s of %s, and the first %s", got, account, was)
		}
	}
}

// expected is where a letter must be, by how its recipients stand.
func expected(l oldertest.Letter) map[string]int {
	f := map[string]int{}
	open, sent := false, false
	for _, to := range l.To {
		switch {
		case to.State == queue.StateDelivered || to.State == queue.StateRelayed:
			sent = true
		case to.State.Final():
			f[folders.FolderBounced] = 1
		case to.State == queue.StateDeferred || to.Tries > 0:
			open = true
			f[folders.FolderDeferred] = 1
		default:
			open = true
			f[folders.FolderQueued] = 1
		}
	}
	if sent && !open {
		f[folders.FolderSent] = 1
	}
	return f
}
