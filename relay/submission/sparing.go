package submission

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// sparing logs what strangers can cause at will: so many lines a minute, and
// how many were left out.
type sparing struct {
	logger *slog.Logger

	mu      sync.Mutex
	minute  int64
	lines   int
	omitted int
}

const linesPerMinute = 60

func (s *sparing) log(level slog.Level, msg string, attrs ...any) {
	omitted, ok := s.admit(time.Now().Unix() / 60)
	if !ok {
		return
	}
	if omitted > 0 {
		attrs = append(attrs, "omitted", omitted)
	}
	s.logger.Log(context.Background(), level, msg, attrs...)
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

// Printf implements smtp.Logger: panics and failed connections, each with a
// stack of a few kilobytes at most.
func (s *sparing) Printf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	s.log(slog.LevelError, "smtp engine", "error", text[:min(len(text), 4<<10)])
}

// Println implements smtp.Logger.
func (s *sparing) Println(v ...any) { s.Printf("%s", fmt.Sprint(v...)) }
