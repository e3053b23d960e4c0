package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	v1 "postrider/api/v1"

	"postrider/api/client"
	"postrider/configs"
)

// adminFlags say which relay is meant.
type adminFlags struct {
	Config string `placeholder:"FILE" help:"Configuration file of the relay, to find its admin socket (or POSTRIDER_CONFIG)."`
	Socket string `placeholder:"PATH" help:"Admin socket; the configuration says where it is by default."`
	JSON   bool   `name:"json" help:"Print JSON instead of a table."`
}

// network reports whether the relay is spoken to over the network, with a key.
func (f *adminFlags) network(sh *shell) bool {
	return sh.getenv("POSTRIDER_URL") != "" && f.Socket == ""
}

// connect talks to POSTRIDER_URL if that is set, else to the admin socket.
func (f *adminFlags) connect(sh *shell) (*client.Client, error) {
	if f.network(sh) {
		base := sh.getenv("POSTRIDER_URL")
		key, err := secretEnv(sh, "POSTRIDER_API_KEY")
		if err != nil {
			return nil, err
		}
		return client.New(base, key)
	}
	path := f.Socket
	if path == "" {
		// Problems elsewhere in the file are no reason not to find the socket.
		cfg, _ := configs.Load(loadOptions(sh, f.Config, nil))
		path = usualSocket(cfg)
	}
	if path == "" {
		return nil, errors.New("the admin socket is turned off: set POSTRIDER_URL and POSTRIDER_API_KEY")
	}
	return client.NewSocket(path), nil
}

// usualSocket is where the configuration says; where nothing says, and there is
// none below the working directory, the places of an installed relay are tried
// as sendmail does.
func usualSocket(cfg *configs.Config) string {
	path := cfg.Admin.Socket
	if path == "" || cfg.Origin("data_dir") != "default" || cfg.Origin("admin.socket") != "default" {
		return path
	}
	for _, p := range []string{path, "/run/postrider/admin.sock", "/var/lib/postrider/admin.sock"} {
		if _, err := os.Lstat(p); err == nil {
			return p
		}
	}
	return path
}

func secretEnv(sh *shell, name string) (string, error) {
	file := sh.getenv(name + "_FILE")
	if file == "" {
		return sh.getenv(name), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", name, err)
	}
	return string(trimLine(text)), nil
}

func trimLine(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// explain adds what to do to the errors that people meet.
func explain(err error) error {
	var p *v1.Problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return &refusedError{problemText(p), err}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w\nIs the relay running? If it uses another data directory, name it: POSTRIDER_DATA_DIR=/var/lib/postrider, or --socket PATH", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w\nThe admin socket is for the relay's own user: run this command as that user or as root", err)
	}
	return err
}

// refusedError is a no of the relay, in words for people.
type refusedError struct {
	text string
	err  error
}

func (e *refusedError) Error() string { return e.text }
func (e *refusedError) Unwrap() error { return e.err }

// advice is what to do about refusals, where their own text speaks to programs.
var advice = map[string]string{
	"unauthorized":    "Set POSTRIDER_API_KEY to a key of this relay: `postrider key create` makes one.",
	"key_expired":     "Make a new key with `postrider key create`, and set POSTRIDER_API_KEY to it.",
	"forbidden_scope": "Use a key that may: `postrider key show` says what this one may be used for.",
}

// problemText says all that a problem holds: each member that is wrong on a line
// of its own, and what to do.
func problemText(p *v1.Problem) string {
	lines := []string{plain(p.Detail)}
	for _, e := range p.Errors {
		where := or(e.Parameter, strings.TrimPrefix(strings.TrimPrefix(e.Pointer, "#"), "/"))
		if where != "" {
			where += ": "
		}
		if e.Detail != p.Detail {
			lines = append(lines, "  "+plain(where+e.Detail))
		}
	}
	if what := advice[p.Code]; what != "" {
		lines = append(lines, what)
	}
	if p.RetryAfter > 0 {
		lines = append(lines, fmt.Sprintf("Try again in %d s.", p.RetryAfter))
	}
	if p.RequestID != "" && p.Status >= 500 {
		lines = append(lines, "In the relay's log this is "+plain(p.RequestID)+".")
	}
	return strings.Join(lines, "\n")
}
