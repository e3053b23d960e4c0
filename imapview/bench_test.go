package imapview_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/imapview"
	"postrider/queue/folders"
	"postrider/queue/logstore"
)

const million = 1_000_000

// fill files rows as an account has them that sends orders.
func fill(b *testing.B, book *folders.Book, n int) {
	b.Helper()
	for at := 0; at < n; {
		var items []folders.Item
		for ; len(items) < 1000 && at < n; at++ {
			it := item(fmt.Sprintf("Your order %d is on its way", at), "Sent", fmt.Sprintf("Sent/2026-%02d", at*12/n+1))
			it.Entry.At = start.Add(time.Duration(at) * time.Second)
			it.Entry.Envelope = fmt.Appendf(nil, `("Mon, 23 Nov 2026 05:00:00 +0000" "Your order %d is on its way" (("Shop" NIL "shop" "example.com")) NIL NIL (("Customer" NIL "customer%d" "example.net")) NIL NIL NIL "<%d@example.com>")`, at, at, at)
			it.Search.From, it.Search.To = "shop shop@example.com", fmt.Sprintf("customer customer%d@example.net", at)
			it.Search.MessageID, it.Search.Recipients, it.Unseen = fmt.Sprintf("%d@example.com", at), fmt.Sprintf("customer%d@example.net", at), false
			items = append(items, it)
		}
		_, _, err := book.Edit(context.Background(), account, func(*folders.View) (folders.Edit, error) { return folders.Edit{Append: items}, nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillion is what mail programs do in a folder of a million messages, on
// disk, over loopback.
func BenchmarkMillion(b *testing.B) {
	s, err := logstore.Open(context.Background(), logstore.Options{Dir: b.TempDir(), MinFree: -1, ReserveBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	book := folders.New(folders.Options{Store: s, Contents: s, Now: now})
	fill(b, book, million)
	srv := imapview.New(imapview.Options{Listen: []imapview.Listen{{Address: "127.0.0.1:0"}}, Book: book, Auth: logins{}, Now: now, SearchBudget: time.Minute})
	if err := srv.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = srv.Drain(context.Background())
		_ = s.Close()
	})
	nc, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = nc.Close() })
	read := make([]byte, 1<<20)
	_, _ = nc.Read(read)
	run(b, nc, read, "LOGIN shop secret")
	run(b, nc, read, "EXAMINE Sent")
	for _, tt := range []struct{ name, command string }{
		{"Select", "SELECT Sent"},
		{"Newest50", "FETCH 999951:1000000 (FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)"},
		{"Newest50Headers", "FETCH 999951:1000000 (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)])"},
		{"AllFlags", "UID FETCH 1:* (FLAGS)"},
		{"SearchUnseen", "UID SEARCH UNSEEN"},
		{"SearchAll", "UID SEARCH ALL"},
		{"SearchSubject", "UID SEARCH SUBJECT 77777"},
		{"SearchSince", "UID SEARCH SINCE 3-Dec-2026"},
		{"SearchText", "UID SEARCH 999001:* TEXT nowhere"},
		{"Noop", "NOOP"},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				run(b, nc, read, tt.command)
			}
		})
	}
}

// run says a command and reads its answer.
func run(b *testing.B, nc net.Conn, read []byte, command string) {
	b.Helper()
	if _, err := io.WriteString(nc, "x "+command+"\r\n"); err != nil {
		b.Fatal(err)
	}
	var end []byte
	for {
		n, err := nc.Read(read)
		if err != nil {
			b.Fatal(err)
		}
		end = append(end, read[max(0, n-1000):n]...)
		end = end[max(0, len(end)-1000):]
		if i := bytes.LastIndex(end, []byte("\r\nx ")); bytes.HasSuffix(end, []byte("\r\n")) && (i >= 0 || bytes.HasPrefix(end, []byte("x "))) {
			if !strings.Contains(string(end), "x OK") {
				b.Fatalf("%s: %s", command, end)
			}
			return
		}
	}
}
