package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/configs"
	"postrider/queue"
)

func TestStagingIsSaidNowAndEachHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var r background
		r.start(t.Context(), func(ctx context.Context) {
			remind(ctx, time.Hour, slog.New(slog.NewTextHandler(&log, nil)), "set to staging", "mode", "redirect")
		})
		time.Sleep(3*time.Hour + time.Minute)
		if err := r.drain(t.Context()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "level=WARN msg=\"set to staging\" mode=redirect"); n != 4 {
			t.Errorf("it is said %d times in three hours:\n%s", n, log.String())
		}
	})
	if err := new(background).drain(t.Context()); err != nil {
		t.Errorf("what never began: %v", err)
	}
}

func TestOperatorsAreWhomTheConfigurationNames(t *testing.T) {
	t.Parallel()
	cfg, problems := configs.Load(configs.LoadOptions{Hostname: "mail.example.com", Environ: []string{
		"POSTRIDER_STAGING_REDIRECT=qa@example.com", "POSTRIDER_ALERT_ADDRESS=boss@example.org", "POSTRIDER_DSN_MODE=admin", "POSTRIDER_DSN_ADMIN=dsn@example.org",
	}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	s, err := stagingOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to        string
		own, goes bool
	}{
		{"boss@example.org", true, true}, {"dsn@example.org", true, true}, {"boss@example.org", false, false},
		{"sender@example.net", true, false}, {"qa@example.com", false, true},
	} {
		a, err := queue.ParseAddress(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if why := s.Keeps(a, c.own); (why == "") != c.goes {
			t.Errorf("to %s, own %t: %q", c.to, c.own, why)
		}
	}
}
