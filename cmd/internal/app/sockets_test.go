package app_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"postrider/cmd/internal/app"
)

func environment(kv map[string]string) func(string) string {
	return func(name string) string { return kv[name] }
}

func TestSocketsAreInheritedOnlyByTheProcessTheyAreMeantFor(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"nobody hands any over":          {},
		"they are another process's":     {"LISTEN_PID": "41", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "submission"},
		"the number is zero":             {"LISTEN_PID": "42", "LISTEN_FDS": "0"},
		"the process is not named right": {"LISTEN_PID": "42x", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "submission"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := app.InheritSockets(environment(env), 42)
			if err != nil || s != nil {
				t.Errorf("got %v and %v, want nothing", s, err)
			}
			if err := s.Close(); err != nil || s.Settings() != nil {
				t.Errorf("none: Close %v, Settings %v", err, s.Settings())
			}
		})
	}
}

func TestSocketsThatCannotBeUnderstoodAreRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ count, names, want string }{
		"a count that is none":          {"many", "", `LISTEN_FDS is "many"`},
		"a negative count":              {"-1", "", `LISTEN_FDS is "-1"`},
		"no names":                      {"1", "", "FileDescriptorName"},
		"more sockets than names":       {"2", "submission", "should name 2 sockets"},
		"a name of no listener":         {"1", "postrider.socket", "set FileDescriptorName to submission"},
		"a name with an unknown suffix": {"1", "submission-ssl", "no listener has this name"},
		"a huge count":                  {"1000000000", "submission", "should name 1000000000 sockets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := app.InheritSockets(environment(map[string]string{"LISTEN_PID": "42", "LISTEN_FDS": c.count, "LISTEN_FDNAMES": c.names}), 42)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestSystemdIsToldOfStates(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"path": filepath.Join(t.TempDir(), "notify"), "abstract": "@postrider-test-" + filepath.Base(t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for _, state := range []string{app.NotifyReady, app.NotifyStopping} {
				if err := app.NotifySystemd(environment(map[string]string{"NOTIFY_SOCKET": path}), state); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 64)
				n, err := l.Read(b)
				if err != nil || string(b[:n]) != state {
					t.Errorf("%q was told (%v), want %q", b[:n], err, state)
				}
			}
		})
	}
}

func TestNobodyIsToldWhereNobodyAsks(t *testing.T) {
	t.Parallel()
	if err := app.NotifySystemd(environment(nil), app.NotifyReady); err != nil {
		t.Error(err)
	}
	if err := app.NotifySystemd(environment(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "none")}), app.NotifyReady); err == nil {
		t.Error("a socket that does not exist: no error")
	}
}
