//go:build full

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"postrider/cmd/e2e/e2etest"
)

// roundcubeRoot is where Debian's package has what a web server shows.
const roundcubeRoot = "/var/lib/roundcube/public_html"

// startRoundcube runs Roundcube with a configuration and database of its own and
// returns its address. With caches it keeps in its database what it has seen.
func startRoundcube(ctx context.Context, t *testing.T, imap string, caches bool) string {
	t.Helper()
	dir := e2etest.Dir(t)
	config, err := os.ReadFile("testdata/gui/roundcube.inc.php")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.inc.php"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/roundcube/defaults.inc.php", filepath.Join(dir, "defaults.inc.php")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("php", "-S", "127.0.0.1:0", "-t", roundcubeRoot)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "ROUNDCUBE_CONFIG_DIR=" + dir, "POSTRIDER_IMAP=" + imap, "PHP_CLI_SERVER_WORKERS=4"}
	if caches {
		cmd.Env = append(cmd.Env, "ROUNDCUBE_CACHES=yes")
	}
	var printed output
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()                                      // that it was killed is no news
		if text, err := os.ReadFile(filepath.Join(dir, "errors.log")); err == nil && t.Failed() {
			t.Logf("errors of Roundcube:\n%s", endOf(text))
		}
	})
	var address string
	e2etest.Poll(ctx, t, func() error {
		if address = between(printed.String(), "(", ") started"); address == "" {
			return fmt.Errorf("the web server says:\n%s", printed.String())
		}
		return nil
	})
	return address
}

// webmail is a person's session at Roundcube, as a browser has it.
type webmail struct {
	url   string
	http  *http.Client
	token string // to be sent with every request
}

var requestToken = regexp.MustCompile(`"request_token":"([^"]+)"`)

// logIn fills in the form on the first page.
func logIn(ctx context.Context, t *testing.T, address string) *webmail {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &webmail{url: address, http: &http.Client{Jar: jar}}
	form := w.do(ctx, t, http.MethodGet, url.Values{"_task": {"login"}}, nil)
	page := w.do(ctx, t, http.MethodPost, url.Values{"_task": {"login"}}, url.Values{
		"_token": {between(form, `name="_token" value="`, `"`)}, "_task": {"login"}, "_action": {"login"}, "_timezone": {"UTC"}, "_url": {""},
		"_user": {e2etest.User}, "_pass": {e2etest.Password},
	})
	token := requestToken.FindStringSubmatch(page)
	if token == nil || !strings.Contains(page, `"task":"mail"`) {
		t.Fatalf("logging in leads to:\n%s", endOf([]byte(page)))
	}
	w.token = token[1]
	return w
}

// do makes a request and returns the page that it ends at.
func (w *webmail) do(ctx context.Context, t *testing.T, method string, query, form url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.url+"/?"+query.Encode(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if w.token != "" {
		req.Header.Set("X-Roundcube-Request", w.token)
	}
	res, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s\n%s", method, query, res.Status, page)
	}
	return string(page)
}

// change is what a script in the page is told: variables and calls.
type change struct {
	Env  map[string]any
	Exec string
}

// ask does what a script in the page does.
func (w *webmail) ask(ctx context.Context, t *testing.T, action string, query, form url.Values) change {
	t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
		form.Set("_remote", "1")
	}
	query.Set("_task", "mail")
	query.Set("_action", action)
	query.Set("_remote", "1")
	page := w.do(ctx, t, method, query, form)
	var c change
	if err := json.Unmarshal([]byte(page), &c); err != nil {
		t.Fatalf("%s: %v in:\n%s", action, err, page)
	}
	for _, bad := range []string{`,"error"`, `,"warning"`} {
		if strings.Contains(c.Exec, bad) {
			t.Errorf("%s %v %v is answered %s", action, query, form, c.Exec)
		}
	}
	return c
}

var markup = regexp.MustCompile(`<[^>]*>`)

// entries returns the lines that the list is told to have.
func (c change) entries(t *testing.T) []entry {
	t.Helper()
	var all []entry
	for _, text := range strings.Split(c.Exec, "this.add_message_row(")[1:] {
		var e entry
		var columns struct{ Subject, FromTo string }
		var flags struct{ Seen, Flagged int }
		if err := arguments(text, &e.UID, &columns, &flags); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		e.Subject = html.UnescapeString(markup.ReplaceAllString(columns.Subject, ""))
		e.Author = html.UnescapeString(markup.ReplaceAllString(columns.FromTo, ""))
		e.Read, e.Starred = flags.Seen == 1, flags.Flagged == 1
		all = append(all, e)
	}
	return all
}

// arguments reads the first arguments of a call, which are in JSON.
func arguments(text string, into ...any) error {
	d := json.NewDecoder(strings.NewReader("[" + text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for _, v := range into {
		if !d.More() {
			return errors.New("there are too few arguments")
		}
		if err := d.Decode(v); err != nil {
			return err
		}
	}
	return nil
}
