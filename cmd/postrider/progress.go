package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"postrider/queue/archive"
)

const (
	barWidth   = 12
	barEvery   = 200 * time.Millisecond // on a terminal
	linesEvery = 10 * time.Second       // elsewhere
)

// progressBar shows how far a copy is: on one line of a terminal, elsewhere now
// and then on a line of its own.
type progressBar struct {
	out      io.Writer
	terminal bool
	now      func() time.Time

	phase archive.Phase
	first archive.Progress // of the phase, for its rate
	began time.Time
	shown time.Time
	drawn int // columns of the line on the terminal
}

func newProgressBar(out io.Writer) *progressBar {
	return &progressBar{out: out, terminal: isTerminal(out), now: time.Now}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// show is archive.Options.Progress.
func (b *progressBar) show(p archive.Progress) {
	now := b.now()
	if p.Phase != b.phase {
		b.end()
		b.phase, b.first, b.began, b.shown = p.Phase, p, now, now
		if b.terminal {
			b.draw(p, now)
		}
		return
	}
	every := linesEvery
	if b.terminal {
		every = barEvery
	}
	if now.Sub(b.shown) >= every || b.terminal && p.Done == p.Total {
		b.shown = now
		b.draw(p, now)
	}
}

func (b *progressBar) draw(p archive.Progress, now time.Time) {
	line := b.line(p, now)
	if !b.terminal {
		fmt.Fprintln(b.out, line)
		return
	}
	pad := max(b.drawn-len(line), 0)
	fmt.Fprintf(b.out, "\r%s%s", line, strings.Repeat(" ", pad))
	b.drawn = len(line)
}

// line fits a terminal of 80 columns.
func (b *progressBar) line(p archive.Progress, now time.Time) string {
	share := 1.0
	if p.Total > 0 {
		share = min(float64(p.Done)/float64(p.Total), 1)
	}
	text := fmt.Sprintf("%-9s", p.Phase)
	if b.terminal {
		full := int(share * barWidth)
		text += " [" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
	}
	text += fmt.Sprintf(" %3d%% of %s", int(share*100), grouped(p.Total))
	if p.Bytes > 0 && p.Phase != archive.PhaseEvents {
		text += "  " + byteText(p.Bytes)
	}
	took := now.Sub(b.began).Seconds()
	if done := p.Done - b.first.Done; took >= 1 && done > 0 {
		rate := float64(done) / took
		text += fmt.Sprintf("  %s/s", grouped(int64(rate)))
		if left := time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second)); left >= time.Second {
			text += "  " + left.Round(time.Second).String() + " left"
		}
	}
	return text
}

// end leaves the line that is drawn.
func (b *progressBar) end() {
	if b.drawn > 0 {
		fmt.Fprintln(b.out)
		b.drawn = 0
	}
}

// grouped writes a number with its thousands apart.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func byteText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 3 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGT"[i])
}
