package pop3view

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postrider/queue/bitmap"
	"postrider/queue/folders"
)

// maildrop is a folder as it was at login.
type maildrop struct {
	account  string
	folder   string
	login    string // that its deletions are kept under
	validity uint32
	messages messages

	deleted     bitmap.Set // UIDs, until QUIT
	deletedSize int64
}

const (
	// recentTime is what "recent:" shows.
	recentTime = 30 * 24 * time.Hour
	// measured is how many entries are looked at together.
	measured = 256
)

// open takes the maildrop of an account.
func (s *Server) open(ctx context.Context, account, login string, t target) (*maildrop, error) {
	v, err := s.o.Book.View(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("view folders: %w", err)
	}
	box := &maildrop{account: account, folder: t.folder, login: login, validity: v.UIDValidity}
	if t.folder != folders.FolderInbox {
		box.login += "+" + fold(t.folder)
	}
	shown, since := v.Set(t.folder), time.Time{}
	if t.recent {
		since = s.o.Now().Add(-recentTime)
	} else {
		shown = shown.AndNot(v.Hidden(box.login))
	}
	if err := box.measure(ctx, s.o.Book, shown.Last(s.o.Window), since); err != nil {
		return nil, err
	}
	return box, nil
}

// measure reads the sizes of what is shown since a time. What is removed
// meanwhile was never there.
func (b *maildrop) measure(ctx context.Context, book *folders.Book, shown bitmap.Set, since time.Time) error {
	for uids := range slices.Chunk(slices.Collect(shown.All()), measured) {
		rows, err := book.Searches(ctx, b.account, uids)
		if err != nil {
			return fmt.Errorf("read sizes: %w", err)
		}
		for i, row := range rows {
			if row != nil && !row.At.Before(since) {
				b.messages.add(uids[i], row.Size)
			}
		}
	}
	b.messages.compact()
	return nil
}

// message returns the message of a number, if it is there and not deleted.
func (b *maildrop) message(number int) (message, bool) {
	if number < 1 || number > b.messages.len() {
		return message{}, false
	}
	m := b.messages.at(number - 1)
	return m, !b.deleted.Has(m.uid)
}

// delete marks a message until QUIT.
func (b *maildrop) delete(m message) {
	b.deleted = b.deleted.With(m.uid)
	b.deletedSize += m.size
}

// reset takes all marks back.
func (b *maildrop) reset() { b.deleted, b.deletedSize = bitmap.Set{}, 0 }

// left returns how many messages there are, and their octets.
func (b *maildrop) left() (count int, octets int64) {
	return b.messages.len() - b.deleted.Len(), b.messages.octets - b.deletedSize
}

// commit hides what was deleted. If the folders have been numbered anew since,
// there is nothing left to hide.
func (b *maildrop) commit(ctx context.Context, book *folders.Book) error {
	_, _, err := book.Edit(ctx, b.account, func(v *folders.View) (folders.Edit, error) {
		if v.UIDValidity != b.validity {
			return folders.Edit{}, nil
		}
		return folders.Edit{Hide: map[string]bitmap.Set{b.login: b.deleted.And(v.Set(b.folder))}}, nil
	})
	if err != nil {
		return fmt.Errorf("hide messages: %w", err)
	}
	return nil
}
