package main

import (
	"fmt"
	"io"
)

// Gates of the figures, in octets and milliseconds.
const (
	programGate    = 40 << 20
	compressedGate = 20 << 20
	restGate       = 30 << 20
	queuedGate     = 64 << 20
	readyGate      = 300
)

// print writes what was measured as Markdown.
func (r *sizesReport) print(w io.Writer) {
	head, rule := []string{""}, []string{"---"}
	for _, s := range r.Relays {
		head, rule = append(head, s.Name), append(rule, "---")
	}
	fmt.Fprintln(w)
	line(w, append(head, "gate")...)
	line(w, append(rule, "---")...)
	r.row(w, "installed", programGate, func(s sizedSide) int64 { return s.Installed })
	r.row(w, "compressed", compressedGate, func(s sizedSide) int64 { return s.Compressed })
	r.times(w)
	r.memory(w, "idle, soon after the start (median)", restGate, func(s sizedSide) memory { return middle(s.Settled) })
	r.memory(w, "idle, later", restGate, func(s sizedSide) memory { return s.Idle })
	if r.Queued > 0 {
		queued := "with " + thousands(int(r.Queued)) + " queued"
		r.memory(w, queued+", as the last was accepted", queuedGate, func(s sizedSide) memory { return s.Loaded })
		r.memory(w, queued+", later", queuedGate, func(s sizedSide) memory { return s.Quiet })
	}
}

// row is one size of each relay; the gate is for the first.
func (r *sizesReport) row(w io.Writer, name string, limit int64, of func(sizedSide) int64) {
	cells := []string{name}
	for _, s := range r.Relays {
		cells = append(cells, mb(of(s)))
	}
	line(w, append(cells, gate(megabytes(of(r.Relays[0])), megabytes(limit), "%.0f MB"))...)
}

func (r *sizesReport) times(w io.Writer) {
	cells := []string{"start to the first greeting (median)"}
	for _, s := range r.Relays {
		cells = append(cells, ms(median(s.Ready)))
	}
	line(w, append(cells, gate(median(r.Relays[0].Ready), readyGate, "%.0f ms"))...)
}

func (r *sizesReport) memory(w io.Writer, name string, limit int64, of func(sizedSide) memory) {
	cells := []string{"resident " + name}
	for _, s := range r.Relays {
		cells = append(cells, fmt.Sprintf("%s in %d", mb(of(s).Resident), of(s).Processes))
	}
	line(w, append(cells, gate(megabytes(of(r.Relays[0]).Resident), megabytes(limit), "%.0f MB"))...)
	r.row(w, "– proportional", 0, func(s sizedSide) int64 { return of(s).Proportional })
	r.row(w, "– without files", 0, func(s sizedSide) int64 { return of(s).Anonymous })
}

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }

func mb(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MB", megabytes(n))
}
