package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// connect talks to POSTRIDER_URL if that is set, else to the admin socket.
func (f *adminFlags) connect(sh *shell) (*client.Client, error) {
	if base := sh.getenv("POSTRIDER_URL"); base != "" && f.Socket == "" {
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
	case err == nil, errors.As(err, &p):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w\nIs the relay running? If it uses another data directory, name it: POSTRIDER_DATA_DIR=/var/lib/postrider, or --socket PATH", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w\nThe admin socket is for the relay's own user: run this command as that user or as root", err)
	}
	return err
}
