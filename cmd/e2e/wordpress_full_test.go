//go:build full

package e2e_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/cmd/e2e/e2etest"
)

// plainStall is how long a wp_mail() takes at least whose body was stalled by
// Nagle's algorithm against delayed acknowledgements.
const plainStall = 40 * time.Millisecond

// Real wp_mail() through the relay to a real Postfix: every byte that PHPMailer
// built is stored there, and the signatures in front verify.
func TestWordPressMailReachesAPostfix(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	world, p := mxByPostfix(ctx, t)
	relay := e2etest.Start(t, world.Env())
	publishKeys(ctx, t, world, relay, "blog.example")
	w := installWordPress(ctx, t, relay.SMTP, "kunde@customer.example")
	// The installer has sent a mail of its own.
	before := len(relay.Out.All(accepted))

	all := w.run(ctx, t, "send.php")
	byID := make(map[string]*stored)
	for _, m := range p.read(ctx, t, before+len(all)) {
		byID[queueID(m)] = m
	}
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			if !s.OK || s.Mailer != "smtp" {
				t.Fatalf("wp_mail() by %s returned %v: %s", s.Mailer, s.OK, s.Failure)
			}
			if s.ID == "" {
				t.Fatal("PHPMailer found no id in the reply to the final dot")
			}
			m := byID[s.ID]
			if m == nil {
				t.Fatalf("%s is not stored", s.ID)
			}
			// PHPMailer ends the data with an empty line of its own.
			sent := append(s.Sent, "\r\n"...)
			if sha256.Sum256(m.Content) != sha256.Sum256(sent) {
				t.Errorf("PHPMailer %s built %d octets:\n%.2000q\nstored are %d:\n%.2000q", s.PHPMailer, len(sent), sent, len(m.Content), m.Content)
			}
			if from := m.Field("Return-Path"); len(from) != 1 || !strings.HasSuffix(from[0], "@blog.example>") {
				t.Errorf("the reverse-path is %q", from)
			}
			verifySignatures(ctx, t, world, m.signed())
		})
	}
}

// queueID is the id in the relay's Received field.
func queueID(m *stored) string {
	for _, f := range m.Field("Received") {
		if id := messageID.FindString(f); id != "" {
			return id
		}
	}
	return ""
}

func TestWordPressDoesNotWait(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	world, _ := mxByPostfix(ctx, t)
	relay := e2etest.Start(t, world.Env())
	w := installWordPress(ctx, t, relay.SMTP, "kunde@customer.example")
	const sends = 100
	var took []time.Duration
	for _, s := range w.run(ctx, t, "bench.php", "WP_COUNT="+strconv.Itoa(sends)) {
		if !s.OK {
			t.Error("a wp_mail() failed")
		}
		took = append(took, s.Took)
	}
	slices.Sort(took)
	if len(took) != sends {
		t.Fatalf("%d of %d sends are reported", len(took), sends)
	}
	median, p99 := took[sends/2], took[sends*99/100-1]
	t.Logf("wp_mail() of 20 KB, DKIM on, next hop Postfix on the same machine: median %v, p99 %v", median, p99)
	if median >= plainStall/2 {
		t.Errorf("the median is %v: bodies are stalled", median)
	}
}

// The reason of a refusal reaches whoever runs the site.
func TestWordPressShowsWhyMailIsRefused(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	relay := e2etest.Start(t, e2etest.Env{"POSTRIDER_ALLOWED_SENDERS": "other.example", "POSTRIDER_FROM_POLICY": "reject"})
	w := installWordPress(ctx, t, relay.SMTP, "kunde@customer.example")
	s := w.run(ctx, t, "refused.php")[0]
	if s.OK {
		t.Fatal("wp_mail() succeeded")
	}
	for _, want := range []string{"wordpress@blog.example is not allowed", "allowed senders", "5.7.1", "ref="} {
		if !strings.Contains(s.Failure, want) {
			t.Errorf("%q is not in %q", want, s.Failure)
		}
	}
}

// PHP's own mail() works for the web server's user, which knows nothing of the
// relay.
func TestPHPMailThroughSendmail(t *testing.T) {
	ctx := within(t, time.Minute)
	world, p := mxByPostfix(ctx, t)
	relay := e2etest.Start(t, world.Env())
	link := filepath.Join(relay.Dir, "sendmail")
	if err := os.Symlink(e2etest.Program(t), link); err != nil {
		t.Fatal(err)
	}
	uid, gid := ids(t, "www-data")
	res := e2etest.Run(ctx, t, e2etest.Command{
		Path: "php", Dir: "/", UID: uint32(uid), GID: uint32(gid), Env: e2etest.Env{"POSTRIDER_DATA_DIR": relay.DataDir},
		Args: []string{"-d", "sendmail_path=" + link + " -t -i", "-r",
			`exit(mail('kunde@customer.example', 'By PHP', "Hello,\n.\nBye.\n", ['From' => 'site@blog.example', 'Bcc' => 'b@customer.example'], '-fsite@blog.example') ? 0 : 1);`},
	})
	if res.Status != 0 {
		t.Fatalf("mail() failed: %s%s", res.Stdout, res.Stderr)
	}
	for _, m := range p.read(ctx, t, 2) {
		// PHP ends the message with a line end of its own.
		if text := string(m.Content); !strings.HasSuffix(text, "\r\n\r\nHello,\r\n.\r\nBye.\r\n\r\n") || strings.Contains(text, "Bcc:") {
			t.Errorf("this is stored:\n%s", text)
		}
		if from := m.Field("Return-Path"); len(from) != 1 || from[0] != "<site@blog.example>" {
			t.Errorf("the reverse-path is %q", from)
		}
	}
}
