package throttle_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/relay/throttle"
)

var update = flag.Bool("update", false, "write the plot of the simulation anew")

const plotFile = "../../configs/docs/images/shaping.svg"

// Steps and a wave, by a token bucket. The plot in the documentation is drawn
// from this simulation.
func TestPlotOfADay(t *testing.T) {
	t.Parallel()
	s := simulation{sites: throttle.New(throttle.Options{}), allowed: aDay, police: &bucket{depth: 5}, length: 24 * time.Hour, bin: 10 * time.Minute}
	all := s.run(t)
	all.mannerly(t)
	svg := draw(&s, all)
	for _, want := range []string{"<svg ", "<title>", "messages a minute", "hours", "allowed", "sent", "</svg>"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the plot has no %q", want)
		}
	}
	if *update {
		if err := os.WriteFile(filepath.FromSlash(plotFile), []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(filepath.FromSlash(plotFile))
	if err != nil {
		t.Fatal(err)
	}
	// Machines may differ in the last digit, so only what it says is compared.
	if got, want := captionOf(string(kept)), captionOf(svg); got != want {
		t.Errorf("the plot says %q, the simulation %q: run with -update", got, want)
	}
}

func captionOf(svg string) string {
	_, rest, _ := strings.Cut(svg, "<desc>")
	text, _, _ := strings.Cut(rest, "</desc>")
	return text
}

// The frame of the plot, in pixels, and what it spans.
const (
	plotWidth, plotHeight    = 900, 420
	frameLeft, frameRight    = 70, 870
	frameTop, frameBottom    = 74, 356
	plotHours, plotPerMinute = 24, 1000
)

func px(hours float64) float64 { return frameLeft + hours/plotHours*(frameRight-frameLeft) }
func py(perMinute float64) float64 {
	return frameBottom - min(perMinute, plotPerMinute)/plotPerMinute*(frameBottom-frameTop)
}

func draw(s *simulation, all count) string {
	caption := fmt.Sprintf("%.0f messages in 24 hours; %.1f %% of the attempts were refused, %.1f %% of the allowance was used",
		all.attempts, 100*all.refusedShare(), 100*all.usedShare())
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13" fill="#222">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight)
	fmt.Fprintf(&b, "<title>How Postrider follows what a provider allows</title>\n<desc>%s</desc>\n", caption)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%d" y="26" font-size="17" font-weight="bold">How Postrider follows what a provider allows</text>`+"\n", frameLeft)
	fmt.Fprintf(&b, `<text x="%d" y="46" fill="#555">A simulation: %s.</text>`+"\n", frameLeft, caption)
	drawAxes(&b)
	drawLegend(&b)
	var allowed, sent, refused strings.Builder
	step := s.bin.Hours()
	for i, c := range s.counted {
		from, to := float64(i)*step, float64(i+1)*step
		perMinute := c.attempts / s.bin.Minutes()
		for m := time.Duration(0); m < s.bin; m += time.Minute {
			at := time.Duration(i)*s.bin + m
			fmt.Fprintf(&allowed, "%.1f,%.1f ", px(at.Hours()), py(60*s.allowed(at)))
		}
		fmt.Fprintf(&sent, "%.1f,%.1f ", px((from+to)/2), py(perMinute))
		if c.refused > 0 {
			fmt.Fprintf(&refused, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n",
				px(from), py(c.refused/s.bin.Minutes()), px(to)-px(from), frameBottom-py(c.refused/s.bin.Minutes()))
		}
	}
	fmt.Fprintf(&b, `<g fill="#c0392b">`+"\n%s</g>\n", refused.String())
	fmt.Fprintf(&b, `<polyline fill="none" stroke="#9aa5b1" stroke-width="2.5" points="%s"/>`+"\n", strings.TrimSpace(allowed.String()))
	fmt.Fprintf(&b, `<polyline fill="none" stroke="#1f6feb" stroke-width="1.6" points="%s"/>`+"\n", strings.TrimSpace(sent.String()))
	b.WriteString("</svg>\n")
	return b.String()
}

func drawAxes(b *strings.Builder) {
	b.WriteString(`<g stroke="#e4e7eb">` + "\n")
	for y := 0; y <= plotPerMinute; y += 200 {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`+"\n", frameLeft, py(float64(y)), frameRight, py(float64(y)))
	}
	b.WriteString("</g>\n")
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" fill="none" stroke="#222"/>`+"\n", frameLeft, frameTop, frameBottom, frameRight)
	for y := 0; y <= plotPerMinute; y += 200 {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%d</text>`+"\n", frameLeft-8, py(float64(y))+4, y)
	}
	for h := 0; h <= plotHours; h += 3 {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", px(float64(h)), frameBottom+18, h)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">hours</text>`+"\n", (frameLeft+frameRight)/2, frameBottom+38)
	fmt.Fprintf(b, `<text x="18" y="%d" text-anchor="middle" transform="rotate(-90 18 %d)">messages a minute</text>`+"\n",
		(frameTop+frameBottom)/2, (frameTop+frameBottom)/2)
}

func drawLegend(b *strings.Builder) {
	const y = plotHeight - 12
	for _, e := range []struct {
		x           int
		color, text string
	}{{70, "#9aa5b1", "allowed by the provider"}, {280, "#1f6feb", "sent by Postrider"}, {460, "#c0392b", "of these, refused"}} {
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="22" height="5" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", e.x, y-7, e.color, e.x+30, y, e.text)
	}
}
