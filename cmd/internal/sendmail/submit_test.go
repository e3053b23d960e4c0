package sendmail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

var errBroken = errors.New("broken pipe in a test")

type brokenReader struct{ text io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.text.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func TestBrokenStdinSendsNothing(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"before the relay is called": 10, "while streaming": 3 << 20} {
		relay := &scriptedRelay{extensions: fullExtensions}
		inv := call(relay.start(t), "a@x.example")
		inv.Stdin = brokenReader{strings.NewReader("Subject: s\n\n" + strings.Repeat("0123456789abcde\n", size/16+1))}
		r := inv.run(t, "")
		r.must(t, 74)
		if got := relay.taken(); len(got) != 0 {
			t.Errorf("%s: half a message was sent", name)
		}
	}
}

func TestCancelledBeforeTheDotSendsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	relay := &scriptedRelay{}
	relay.answer = func(line string) string {
		if line == "DATA" {
			cancel()
			<-ctx.Done()
			return "close"
		}
		return ""
	}
	var stderr bytes.Buffer
	inv := call(relay.start(t), "a@x.example")
	inv.Stdin, inv.Stderr = strings.NewReader("\nx\n"), &stderr
	if code := Run(ctx, inv); code != 75 {
		t.Errorf("exit code %d, want 75; %s", code, &stderr)
	}
}
