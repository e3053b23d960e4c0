package pop3view

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sparing logs what strangers can cause at will: at most so many lines a minute,
// and how many were left out.
type sparing struct {
	logger *slog.Logger

	mu      sync.Mutex
	minute  int64
	lines   int
	omitted int
}

const linesPerMinute = 60

func (s *sparing) warn(msg string, attrs ...any) {
	omitted, ok := s.admit(time.Now().Unix() / 60)
	if !ok {
		return
	}
	if omitted > 0 {
		attrs = append(attrs, "omitted", omitted)
	}
	s.logger.Log(context.Background(), slog.LevelWarn, msg, attrs...)
}

func (s *sparing) admit(minute int64) (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.minute != minute {
		s.minute, s.lines = minute, 0
	}
	if s.lines >= linesPerMinute {
		s.omitted++
		return 0, false
	}
	s.lines++
	omitted, s.omitted = s.omitted, 0
	return omitted, true
}
