//go:build full

package dkim

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checker verifies every signature of one message with dkimpy and prints the
// verdicts.
const checker = `
import base64, json, sys, dkim
job = json.load(sys.stdin)
records = job["records"]
def lookup(name, timeout=5):
    return records[name.decode().rstrip(".")].encode()
for name, message in job["messages"].items():
    for i in range(2):
        try:
            ok = dkim.DKIM(base64.b64decode(message)).verify(idx=i, dnsfunc=lookup)
        except Exception as e:
            ok = repr(e)
        if ok is not True:
            print(name, i, ok)
print("checked", len(job["messages"]))
`

// TestSecondImplementationVerifies needs Debian's python3-dkim, and fails
// without.
func TestSecondImplementationVerifies(t *testing.T) {
	t.Parallel()
	keys := importedKeys(t)
	signer := newSigner(t, Options{}, keys...)
	records := make(map[string]string)
	for _, k := range keys {
		r, err := RecordFor(k)
		if err != nil {
			t.Fatal(err)
		}
		records[r.Name] = r.Value
	}
	messages := make(map[string]string)
	for name, message := range oddMessages {
		if name == "white space before the colon" {
			continue // dkimpy refuses messages with this obsolete syntax
		}
		if !strings.HasSuffix(message, "\r\n") {
			message += "\r\n" // as SMTP carries it
		}
		got, err := signer.Sign(t.Context(), SignRequest{FromDomain: "example.com", Message: strings.NewReader(message)})
		if err != nil {
			t.Fatal(err)
		}
		messages[name] = base64.StdEncoding.EncodeToString([]byte(string(got.Header) + message))
	}
	job, err := json.Marshal(map[string]any{"records": records, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "check.py")
	if err := os.WriteFile(script, []byte(checker), 0o600); err != nil {
		t.Fatal(err)
	}
	// Debian's interpreter, since another one does not see its packages.
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", script)
	cmd.Stdin = strings.NewReader(string(job))
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: install python3-dkim and python3-nacl\n%s", err, problems.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "checked") {
		t.Errorf("%s\n%s", out, problems.String())
	}
}
