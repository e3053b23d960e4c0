package app_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"postrider/cmd/internal/app"
	"postrider/configs"
)

// The parts that work by themselves run before the doors are opened: they have
// to end before the store does, and leave no cries behind that hide the cause.
func TestAStartWithoutItsListenersEndsQuietly(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, key := range []string{"submission.listen", "http.listen", "imap.listen", "pop3.listen"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			flags := map[string]string{
				"data_dir": t.TempDir(), "hostname": "relay.example.com", "submission.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0",
				"imap.listen": "127.0.0.1:0", "pop3.listen": "127.0.0.1:0", "storage.min_free": "0", "storage.reserve": "0",
			}
			flags[key] = taken.Addr().String()
			cfg, problems := configs.Load(configs.LoadOptions{Flags: flags})
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			a, err := app.New(t.Context(), app.Options{Config: cfg, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Start(t.Context()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
				t.Errorf("Start returns %v", err)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if strings.Contains(log.String(), "closed") || strings.Contains(log.String(), "level=ERROR") {
				t.Errorf("the log has\n%s", log.String())
			}
		})
	}
}
