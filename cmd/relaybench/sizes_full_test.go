//go:build full

package main

import (
	"path/filepath"
	"testing"
)

// Sizes are no timings: they are the same on every machine, but for the wobble
// of what is resident.
func TestTheProgramKeepsItsSize(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postrider")
	if err := buildProgram(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	installed, packed, err := program(path).footprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if installed > programGate || packed > compressedGate {
		t.Errorf("the program has %s, compressed %s; at most %s and %s", mb(installed), mb(packed), mb(programGate), mb(compressedGate))
	}
	out, err := perform(t, t.Context(), "sizes", "--json", "--program", path, "--starts", "1", "--settle", "6s", "--idle", "20s", "--queued", "0")
	if err != nil {
		t.Fatal(err)
	}
	r := decode[sizesReport](t, out)
	if len(r.Relays) != 2 || r.Relays[1].Settled[0].Processes < 3 || r.Relays[1].Installed <= 0 {
		t.Fatalf("measured was %+v", r)
	}
	ours := r.Relays[0]
	const limit = 36 << 20 // the gate and what wobbles
	for _, m := range []memory{ours.Settled[0], ours.Idle} {
		if m.Resident > limit || m.Resident <= 0 || m.Processes != 1 {
			t.Errorf("idle it takes %s resident in %d processes", mb(m.Resident), m.Processes)
		}
	}
}
