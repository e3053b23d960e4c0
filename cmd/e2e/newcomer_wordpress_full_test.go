//go:build full

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// The first hour of a WordPress site's owner, with SMTP settings alone and with the
// mu-plugin over HTTP: what is seen is what the page says.
func TestNewcomersToWordPress(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "blog.example", "POSTRIDER_FROM_POLICY": "reject"})
	plugin := installSite(ctx, t)
	// The other has no plugin of ours: what stands in for a mail plugin sets what its
	// form asks for.
	stock := &blog{&wordpress{scripts: plugin.scripts, flags: plugin.flags, env: append(without(plugin.env, "WP_MU_PLUGINS="), "WP_SMTP_HOST=127.0.0.1", "WP_SMTP_USER="+e2etest.User)}}
	key := sendKeyOf(ctx, t, relay)
	_, port, _ := strings.Cut(relay.SMTP, ":")
	for _, c := range []struct {
		name string
		site *blog
		env  []string
		ok   bool
	}{
		{"wordpress-smtp/success", stock, []string{"WP_SMTP_PORT=" + port, "WP_SMTP_PASSWORD=" + key}, true},
		{"wordpress-smtp/wrong-password", stock, []string{"WP_SMTP_PORT=" + port, "WP_SMTP_PASSWORD=wrong"}, false},
		{"wordpress-smtp/wrong-port", stock, []string{"WP_SMTP_PORT=1", "WP_SMTP_PASSWORD=" + key}, false},
		{"wordpress-smtp/unknown-sender", stock, []string{"WP_SMTP_PORT=" + port, "WP_SMTP_PASSWORD=" + key, "WP_HEADERS=From: me@gmail.example"}, false},
		{"wordpress-http/success", plugin, []string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key}, true},
		{"wordpress-http/wrong-key", plugin, []string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=pr_wrong"}, false},
		{"wordpress-http/relay-down", plugin, []string{"POSTRIDER_WP_URL=http://127.0.0.1:1", "POSTRIDER_WP_KEY=" + key}, false},
		{"wordpress-http/unknown-sender", plugin, []string{"POSTRIDER_WP_URL=http://" + relay.HTTP, "POSTRIDER_WP_KEY=" + key, "WP_HEADERS=From: me@gmail.example"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := c.site.do(ctx, t, "mail", append(c.env, "WP_TO=anna@customer.example")...)
			if v.OK != c.ok {
				t.Errorf("wp_mail() returned %v", v.OK)
			}
			showsNewcomer(t, c.name, unvarying(fmt.Sprintf("wp_mail() returned %v\nwp_mail_%s", v.OK, v.text()), "account shop", "account blog", "127.0.0.1:1)", "localhost:8025)"))
		})
	}
	e2etest.Receive(ctx, t, mx, 2)
	showsNewcomer(t, "wordpress/arrived", arrived(ctx, t, relay))
}

// without leaves out a variable.
func without(env []string, prefix string) (rest []string) {
	for _, v := range env {
		if !strings.HasPrefix(v, prefix) {
			rest = append(rest, v)
		}
	}
	return rest
}

// arrived is what the relay shows of what was handed over, once it is delivered.
func arrived(ctx context.Context, t *testing.T, relay *e2etest.Relay) (text string) {
	t.Helper()
	e2etest.Poll(ctx, t, func() error {
		text = relay.CLI(ctx, t, "queue", "list", "--recipient", "anna@customer.example")
		if strings.Count(text, "\n") < 3 || strings.Count(text, "delivered") < strings.Count(text, "\n")-1 {
			return fmt.Errorf("not all are delivered:\n%s", text)
		}
		return nil
	})
	for _, wide := range []string{"ID", "ACCEPTED"} { // what stands for them is shorter
		text = regexp.MustCompile(wide+` +`).ReplaceAllString(text, fmt.Sprintf("%-*s", map[string]int{"ID": 7, "ACCEPTED": 22}[wide], wide))
	}
	return unvarying(text)
}

// PHP's own mail(), through the shim at sendmail's place.
func TestNewcomersToPHPMail(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	world := e2etest.NewInternet(t)
	mx := world.Domain(t, "customer.example", smtpsim.Options{})
	relay := e2etest.Start(t, world.Env(), e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "blog.example", "POSTRIDER_FROM_POLICY": "reject"})
	link := filepath.Join(relay.Dir, "sendmail")
	if err := os.Symlink(e2etest.Program(t), link); err != nil {
		t.Fatal(err)
	}
	mail := func(to, from string) string {
		return fmt.Sprintf(`$ok = mail('%s', 'Hello', "A line.\n", ['From' => '%s']); echo 'mail() returned ', var_export($ok, true), "\n";`, to, from)
	}
	uid, gid := ids(t, "www-data")
	for _, c := range []struct {
		name, code, data string
		ok               bool
	}{
		{"php-mail/success", mail("anna@customer.example", "shop@blog.example"), relay.DataDir, true},
		{"php-mail/no-recipient", mail("", "shop@blog.example"), relay.DataDir, false},
		{"php-mail/unknown-sender", mail("anna@customer.example", "me@gmail.example"), relay.DataDir, false},
		{"php-mail/relay-down", mail("anna@customer.example", "shop@blog.example"), "/nonexistent", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := e2etest.Run(ctx, t, e2etest.Command{
				Path: "php", Dir: "/", UID: uint32(uid), GID: uint32(gid), Env: e2etest.Env{"POSTRIDER_DATA_DIR": c.data, "POSTRIDER_URL": ""},
				Args: []string{"-d", "display_errors=stderr", "-d", "sendmail_from=", "-d", "sendmail_path=" + link + " -t -i -fshop@blog.example", "-r", c.code},
			})
			if c.ok != strings.Contains(string(res.Stdout), "returned true") {
				t.Errorf("it says %s", res.Stdout)
			}
			showsNewcomer(t, c.name, unvarying(string(res.Stdout)+string(res.Stderr), relay.Dir, "/srv"))
		})
	}
	e2etest.Receive(ctx, t, mx, 1)
}
