package app

import (
	"io"
	"log/slog"
	"strings"

	"postrider/configs"
	"postrider/queue"
)

// NewLogger writes lines as the configuration says. With masking, addresses keep
// their first letter and their domain.
func NewLogger(c configs.Log, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		return textOf(a, c.MaskAddresses)
	}}
	if c.Format == configs.LogText {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// addressKeys are the attributes that hold a mail address as text.
var addressKeys = map[string]bool{"rcpt": true, "from": true}

func textOf(a slog.Attr, mask bool) slog.Attr {
	switch v := a.Value.Any().(type) {
	case queue.Address:
		text := v.String()
		if mask {
			text = maskAddress(text)
		}
		return slog.String(a.Key, text)
	case string:
		if mask && addressKeys[a.Key] {
			return slog.String(a.Key, maskAddress(v))
		}
	}
	if a.Value.Kind() == slog.KindDuration {
		return slog.String(a.Key, a.Value.Duration().String())
	}
	return a
}

func maskAddress(s string) string {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" {
		return s
	}
	return local[:1] + "***@" + domain
}
