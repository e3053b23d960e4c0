package filing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postrider/queue"
	"postrider/queue/folders"
)

// patience is how often a message is tried that cannot be read, before it is left
// out, or filed without its body.
const patience = 3

// oldNews is how old something has to be that was there before the folders were, so
// that it does not call for attention.
const oldNews = day

// file brings the folders up to date with messages. It returns when those are to
// be looked at again that are too young to be shown. again says that the folders
// of an account have to be filed anew before anything else.
func (f *Filer) file(ctx context.Context, todo []named) (later map[queue.MessageID]time.Time, again bool, err error) {
	later = map[queue.MessageID]time.Time{}
	var accounts []string
	of := map[string][]queue.MessageID{}
	for _, n := range todo {
		if of[n.account] == nil {
			accounts = append(accounts, n.account)
		}
		of[n.account] = append(of[n.account], n.id)
	}
	for _, a := range accounts {
		if err := f.keep(ctx); err != nil {
			return nil, false, err
		}
		err := f.fileAccount(ctx, a, of[a], later)
		if errors.Is(err, folders.ErrExhausted) {
			return nil, true, f.refile(ctx, a)
		}
		if err != nil {
			return nil, false, fmt.Errorf("file mail of account %.64q: %w", a, err)
		}
	}
	return later, false, nil
}

// refile forgets an account's folders, whose numbers are used up, and has all its
// messages filed again. Should that be interrupted, all accounts are looked at.
func (f *Filer) refile(ctx context.Context, account string) error {
	f.o.Logger.Warn("folders are filed anew: their numbers are used up", "account", account)
	if err := f.o.Store.Acknowledge(ctx, readerName, ""); err != nil {
		return fmt.Errorf("reset position of folders: %w", err)
	}
	f.reading.kept = ""
	if err := f.o.Book.Reset(ctx, account); err != nil {
		return fmt.Errorf("reset folders of account %.64q: %w", account, err)
	}
	filter := queue.Filter{Account: account}
	if f.reading.past != nil {
		filter = queue.Filter{} // not all of what is under way may be this account's
	}
	f.reading.past = newPast(filter)
	return nil
}

// fileAccount does it for messages of one account, in one edit.
func (f *Filer) fileAccount(ctx context.Context, account string, ids []queue.MessageID, later map[queue.MessageID]time.Time) error {
	v, err := f.o.Book.View(ctx, account)
	if err != nil {
		return err
	}
	e, err := f.plan(ctx, v, ids, later)
	if err != nil || empty(&e) {
		return err
	}
	_, _, err = f.o.Book.Edit(ctx, account, func(now *folders.View) (folders.Edit, error) {
		// Another node may have seen that nothing is to be changed any more.
		if err := f.keep(ctx); err != nil {
			return folders.Edit{}, err
		}
		if now.UIDValidity != v.UIDValidity || now.ModSeq != v.ModSeq {
			// Somebody was quicker. Messages are read after the view that they are
			// compared with, so that the last writer is the one who saw most.
			v = now
			var err error
			if e, err = f.plan(ctx, now, ids, later); err != nil {
				return folders.Edit{}, err
			}
		}
		return e, nil
	})
	return err
}

func empty(e *folders.Edit) bool {
	return len(e.Append) == 0 && len(e.Expunge) == 0 && len(e.Leave) == 0
}

// plan finds out what is to be changed in a view of an account's folders.
func (f *Filer) plan(ctx context.Context, v *folders.View, ids []queue.MessageID, later map[queue.MessageID]time.Time) (folders.Edit, error) {
	var e folders.Edit
	have, err := f.o.Book.Filed(ctx, v.Account, ids)
	if err != nil {
		return e, err
	}
	n := namesOf(v)
	unread := v.Unseen()
	for i, id := range ids {
		delete(later, id)
		m := message{f: f}
		m.entry, err = f.o.Store.Message(ctx, id)
		if errors.Is(err, queue.ErrNotFound) {
			for _, h := range have[i] {
				e.Expunge = append(e.Expunge, h.UID)
			}
			continue
		}
		if err == nil {
			err = m.plan(ctx, &e, have[i], n, unread.Has, later)
		}
		if err != nil && (ctx.Err() != nil || !f.giveUp(id)) {
			return e, fmt.Errorf("look at message %s: %w", id, err)
		}
		if err != nil {
			f.o.Logger.Error("message is not filed", "id", id, "error", err)
		}
		delete(f.failed, id)
	}
	slices.SortStableFunc(e.Append, func(a, b folders.Item) int { return a.Entry.At.Compare(b.Entry.At) })
	return e, nil
}

// giveUp counts a failure with one message, and reports whether it was tried often
// enough.
func (f *Filer) giveUp(id queue.MessageID) bool {
	f.failed[id]++
	return f.failed[id] >= patience
}

// plan adds what is to be changed for one message.
func (m *message) plan(ctx context.Context, e *folders.Edit, have []folders.Filed, n names, unread func(folders.UID) bool, later map[queue.MessageID]time.Time) error {
	c, err := difference(&m.entry, have, m.f.o.Now(), m.f.o.QueuedAfter, func() (time.Time, error) { return m.firstTry(ctx) })
	if err != nil {
		return err
	}
	if !c.later.IsZero() {
		later[m.entry.Message.ID] = c.later
	}
	before := len(e.Append)
	for _, w := range c.add {
		it, err := m.item(ctx, &w.key)
		if err != nil {
			e.Append = e.Append[:before]
			return err
		}
		it.Sets, it.Unseen = n.places(&m.entry, w.key, it.Entry.At)
		switch {
		case w.old != nil && !w.news:
			it.Unseen = it.Unseen && unread(w.old.UID)
		case m.f.reading.past != nil && m.f.o.Now().Sub(it.Entry.At) >= oldNews:
			it.Unseen = false
		}
		if w.old != nil && w.key.gone {
			it.Sets = stayOut(it.Sets, w.old.Sets, it.Unseen)
		}
		e.Append = append(e.Append, it)
	}
	e.Expunge = append(e.Expunge, c.drop...)
	return nil
}

// stayOut takes from the sets of an entry whose content was removed those top
// folders that the entry before it had left since it is old, and the INBOX if it
// was read: it is no news, and mail programs would fetch it again.
func stayOut(sets, old []string, unread bool) []string {
	return slices.DeleteFunc(sets, func(s string) bool {
		switch s {
		case folders.FolderSent, folders.FolderBounced:
			return !slices.Contains(old, s)
		case folders.FolderInbox:
			return !unread || !slices.Contains(old, s)
		}
		return false
	})
}
