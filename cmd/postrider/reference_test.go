package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"postrider/cmd/internal/command"
)

var update = flag.Bool("update", false, "write configs/docs/reference.md anew")

const referenceFile = "../../configs/docs/reference.md"

func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := writeReference(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(referenceFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Fatal("configs/docs/reference.md is out of date: run go test ./cmd/postrider -update")
	}
	for _, want := range []string{"POSTRIDER_SUBMISSION_LISTEN", "postrider queue list", "--dry-run", "postrider domain records"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the reference lacks %q", want)
		}
	}
}

func TestExitStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"postrider", "version"}, 0, "postrider "},
		{[]string{"postrider", "--help"}, 0, "serve"},
		{[]string{"postrider", "no-such-thing"}, 64, "no-such-thing"},
		{[]string{"postrider", "queue", "lst"}, 64, "did you mean \"list\"?"},
		{[]string{"postrider", "queue"}, 64, "a command is missing: status, list"},
		{[]string{"postrider", "queue", "list", "--limt=3"}, 64, "did you mean \"--limit\"?"},
		{[]string{"postrider", "serve", "--submision-listen=off"}, 64, "did you mean \"--submission-listen\"?"},
		{[]string{"postrider", "queue", "bounce", "msg_1"}, 64, "missing flags: --reason=STRING"},
		{[]string{"postrider", "queue", "list", "--help"}, 0, "--metadata=NAME=VALUE"},
		{[]string{"postrider", "check", "--no-such-flag"}, 64, "no-such-flag"},
		{[]string{"postrider", "check", "--submission-listen=nonsense"}, 78, "submission.listen"},
		{[]string{"postrider", "check", "--bounce-rules=testdata/dead.rules"}, 78, "testdata/dead.rules:3: there is no provider \"gmail\""},
		{[]string{"postrider", "queue", "list", "--socket", "/nonexistent/admin.sock"}, 1, "Is the relay running?"},
	} {
		var out, errs bytes.Buffer
		status := run(c.args, strings.NewReader(""), &out, &errs)
		if status != c.status || !strings.Contains(out.String()+errs.String(), c.out) {
			t.Errorf("%v: exit %d, want %d with %q\n%s%s", c.args, status, c.status, c.out, &out, &errs)
		}
	}
}

func TestEveryCommandCanBeRun(t *testing.T) {
	t.Parallel()
	root, err := command.New(&commandLine{}, "postrider", "")
	if err != nil {
		t.Fatal(err)
	}
	leaves := root.Leaves()
	if len(leaves) < 50 {
		t.Errorf("there are %d commands only", len(leaves))
	}
	for _, c := range leaves {
		if _, ok := c.Target().(interface{ Run(sh *shell) error }); !ok || c.Help == "" {
			t.Errorf("%s cannot be run, or says nothing of itself", c.Path())
		}
	}
}
