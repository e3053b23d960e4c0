//go:build full

package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"postrider/api/compose"
)

// An independent parser sees what was asked for. It needs python3, and fails
// without it: the full run has it.
func TestPythonSeesWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	const count = 300
	var in bytes.Buffer
	var made []*compose.Message
	for seed := range uint64(count) {
		m := newMaker(seed + 10000).message()
		octets := write(t, m)
		fmt.Fprintln(&in, len(octets))
		in.Write(octets)
		made = append(made, m)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/parse.py")
	cmd.WaitDelay = 10 * time.Second
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = &in, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for i, m := range made {
		var got seen
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if len(got.Defects) > 0 {
			t.Errorf("message %d has defects: %q", i, got.Defects)
		}
		want := wanted(m)
		for _, s := range []seen{got, want} {
			// Before its version 3.13 it puts spaces between the encoded words of a
			// name, against RFC 2047 §6.2, and makes several spaces one.
			for _, list := range [][]box{s.From, s.Sender, s.ReplyTo, s.To, s.Cc} {
				for i := range list {
					list[i].Name = strings.Join(strings.Fields(list[i].Name), "")
				}
			}
		}
		if what := different(got, want); what != "" {
			t.Errorf("message %d:\n%s", i, what)
		}
	}
}
