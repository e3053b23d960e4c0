//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

func TestRoundcube(t *testing.T) {
	for _, c := range []struct {
		name   string
		caches bool
	}{{"as packaged", false}, {"with its caches", true}} {
		t.Run(c.name, func(t *testing.T) {
			ctx := within(t, time.Minute)
			s := openSite(ctx, t)
			w := tapWire(t, s.relay.IMAP)
			address := startRoundcube(ctx, t, w.addr, c.caches)
			m := logIn(ctx, t, address)
			first := m.listAll(ctx, t, s)
			before := w.now()
			logIn(ctx, t, address).listAll(ctx, t, s)
			if again := w.saidSince(before, "BODY"); c.caches && len(again) > 0 {
				t.Errorf("the second sync fetches what the first has:\n%s", strings.Join(again, "\n"))
			}
			m.search(ctx, t, first)
			m.bounce(ctx, t, s)
			m.mark(ctx, t, s)
			before = w.now()
			s.check(t, "Sent", m.ask(ctx, t, "list", url.Values{"_mbox": {"Sent"}}, nil).entries(t))
			if again := w.saidSince(before, "BODY"); c.caches && len(again) > 0 {
				t.Errorf("a bounce elsewhere makes it fetch what it has:\n%s", strings.Join(again, "\n"))
			}
			m.listAll(ctx, t, s)
			if *updatePictures && !c.caches {
				m.picture(within(t, time.Minute), t, s)
			}
		})
	}
}

// listAll opens every folder and returns what the list shows.
func (m *webmail) listAll(ctx context.Context, t *testing.T, s *site) map[string][]entry {
	t.Helper()
	all := make(map[string][]entry)
	for _, name := range topFolders() {
		all[name] = m.ask(ctx, t, "list", url.Values{"_mbox": {name}}, nil).entries(t)
		s.check(t, name, all[name])
	}
	return all
}

// search uses the line above the list.
func (m *webmail) search(ctx context.Context, t *testing.T, all map[string][]entry) {
	t.Helper()
	for _, c := range []struct{ folder, headers, text, subject string }{
		{"INBOX", "subject", "mailbox full", "Your subscription renews"},
		{"Bounced", "from", "fjordmail", "Winter letter"},
		{"Bounced", "text", "No mailbox by that name", "Confirm your address"},
		{"Sent", "text", "Lapsang", "Your order #10479 has shipped"},
		{"Sent", "to", "yuki@example.com", "A gift card from Ruth"},
	} {
		found := m.ask(ctx, t, "search", url.Values{"_mbox": {c.folder}, "_q": {c.text}, "_headers": {c.headers}, "_scope": {"base"}, "_filter": {"ALL"}}, nil).entries(t)
		if want := find(t, all[c.folder], c.subject); len(found) != 1 || found[0].UID != want.UID {
			t.Errorf("searching %s in %s for %q finds %+v, want %+v", c.headers, c.folder, c.text, found, want)
		}
	}
}

// refresh does what the page does every minute.
func (m *webmail) refresh(ctx context.Context, t *testing.T, shown []entry) change {
	t.Helper()
	var uids []string
	for _, e := range shown {
		uids = append(uids, fmt.Sprint(e.UID))
	}
	return m.ask(ctx, t, "refresh", url.Values{}, url.Values{"_mbox": {"INBOX"}, "_list": {"1"}, "_folderlist": {"1"}, "_uids": {strings.Join(uids, ",")}})
}

// bounce lets mail come back while the list is open.
func (m *webmail) bounce(ctx context.Context, t *testing.T, s *site) {
	t.Helper()
	shown := m.ask(ctx, t, "list", url.Values{"_mbox": {"INBOX"}}, nil).entries(t)
	s.mistype(ctx, t)
	var c change
	e2etest.Poll(ctx, t, func() error {
		c = m.refresh(ctx, t, shown)
		if len(c.entries(t)) == 0 {
			return fmt.Errorf("the page is told %s", c.Exec)
		}
		return nil
	})
	s.check(t, "INBOX", c.entries(t))
	if want := fmt.Sprintf(`this.set_unread_count("INBOX",%d,`, len(s.sent["INBOX"])); !strings.Contains(c.Exec, want) {
		t.Errorf("%s is not in %s", want, c.Exec)
	}
}

// mark opens a bounce, by which it is read, and changes that to and fro.
func (m *webmail) mark(ctx context.Context, t *testing.T, s *site) {
	t.Helper()
	entries := m.ask(ctx, t, "list", url.Values{"_mbox": {"INBOX"}}, nil).entries(t)
	uid := find(t, entries, "#10486").UID
	page := m.do(ctx, t, http.MethodGet, url.Values{"_task": {"mail"}, "_action": {"preview"}, "_mbox": {"INBOX"}, "_uid": {fmt.Sprint(uid)}, "_framed": {"1"}}, nil)
	text := strings.Join(strings.Fields(markup.ReplaceAllString(page, "")), " ")
	for _, want := range []string{"to " + typo + " was not delivered", "550 5.1.1 No mailbox by that name", "2 Sencha"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	s.awaitSeen(ctx, t, "INBOX", uid, true)
	for _, flag := range []string{"unread", "read", "unread"} {
		m.ask(ctx, t, "mark", url.Values{}, url.Values{"_mbox": {"INBOX"}, "_uid": {fmt.Sprint(uid)}, "_flag": {flag}})
		s.awaitSeen(ctx, t, "INBOX", uid, flag == "read")
	}
	if c := m.refresh(ctx, t, entries); slices.ContainsFunc(c.entries(t), func(e entry) bool { return e.Read }) {
		t.Errorf("after all is unread the list is %+v", c.entries(t))
	}
}

// picture lets the engine of Thunderbird show the page of a bounce.
func (m *webmail) picture(ctx context.Context, t *testing.T, s *site) {
	t.Helper()
	address, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	uid := find(t, m.ask(ctx, t, "list", url.Values{"_mbox": {"INBOX"}}, nil).entries(t), "#10486").UID
	m.ask(ctx, t, "mark", url.Values{}, url.Values{"_mbox": {"INBOX"}, "_uid": {fmt.Sprint(uid)}, "_flag": {"read"}})
	m.ask(ctx, t, "list", url.Values{"_mbox": {"Bounced"}}, nil) // it counts anew
	b := startThunderbird(ctx, t, thunderbirdProfile(t, s.relay.IMAP))
	b.do(t, nil, "browse", fmt.Sprintf("%s/?_task=mail&_mbox=INBOX&_uid=%d", m.url, uid), m.http.Jar.Cookies(address))
	keepPicture(t, "roundcube.png", steady(ctx, t, func() ([]byte, error) {
		var shot []byte // in base64, as encoding/json has it
		err := b.run(b.script, "page", nil, &shot)
		return shot, err
	}))
}
