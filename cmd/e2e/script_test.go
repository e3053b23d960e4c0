package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"postrider/api/client"
	"postrider/cmd/e2e/e2etest"
	"postrider/relay/smtpsim"
)

// The command line, as scripts: see testdata/script.
func TestScripts(t *testing.T) {
	t.Parallel()
	program := e2etest.Program(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("POSTRIDER_SUBMISSION_LISTEN", "127.0.0.1:0")
			env.Setenv("POSTRIDER_HTTP_LISTEN", "127.0.0.1:0")
			env.Setenv("POSTRIDER_IMAP_LISTEN", "127.0.0.1:0")
			env.Setenv("POSTRIDER_POP3_LISTEN", "127.0.0.1:0")
			env.Setenv("POSTRIDER_HOSTNAME", "relay.test")
			// Names are looked up nowhere.
			env.Setenv("POSTRIDER_DNS_SERVERS", "127.0.0.1:1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": awaitReady, "nexthop": startNextHop},
	})
}

// startNextHop makes a server to which all mail is sent, and that answers every
// recipient with a reply.
func startNextHop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: nexthop CODE STATUS TEXT")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	s, err := smtpsim.Start(smtpsim.Options{Rules: []smtpsim.Rule{{Stage: smtpsim.Rcpt, Do: smtpsim.Do(smtpsim.Reply(code, args[1], args[2]))}}})
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv("POSTRIDER_SMARTHOST", fmt.Sprintf("smtp://127.0.0.1:%d?tls=none", s.Port()))
}

// awaitReady waits until the relay whose data directory is named takes mail.
func awaitReady(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready DATA_DIR")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	relay := client.NewSocket(filepath.Join(ts.MkAbs(args[0]), "admin.sock"))
	for {
		err := relay.Ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("the relay is not ready: %v", err)
		}
	}
}
