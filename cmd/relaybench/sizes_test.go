package main

import (
	"bytes"
	"testing"
)

func TestSizesArePrintedBesideEachOther(t *testing.T) {
	t.Parallel()
	of := func(mb int64) memory {
		return memory{Processes: 2, Resident: mb << 20, Proportional: mb << 19, Anonymous: mb << 18}
	}
	r := sizesReport{Queued: 10000, Relays: []sizedSide{
		{Name: "ours", Installed: 30 << 20, Compressed: 25 << 20, Ready: []float64{90, 700, 100}, Settled: []memory{of(24), of(8), of(16)}, Idle: of(20), Loaded: of(70), Quiet: of(60)},
		{Name: "theirs", Installed: 4 << 20, Ready: []float64{50}, Settled: []memory{of(12)}, Idle: of(12), Loaded: of(40), Quiet: of(14)},
	}}
	var b bytes.Buffer
	r.print(&b)
	want := `
|  | ours | theirs | gate |
| --- | --- | --- | --- |
| installed | 30.0 MB | 4.0 MB | < 40 MB |
| compressed | 25.0 MB |  | **missed:** 20 MB |
| start to the first greeting (median) | 100 ms | 50.0 ms | < 300 ms |
| resident idle, soon after the start (median) | 16.0 MB in 2 | 12.0 MB in 2 | < 30 MB |
| – proportional | 8.0 MB | 6.0 MB |  |
| – without files | 4.0 MB | 3.0 MB |  |
| resident idle, later | 20.0 MB in 2 | 12.0 MB in 2 | < 30 MB |
| – proportional | 10.0 MB | 6.0 MB |  |
| – without files | 5.0 MB | 3.0 MB |  |
| resident with 10,000 queued, as the last was accepted | 70.0 MB in 2 | 40.0 MB in 2 | **missed:** 64 MB |
| – proportional | 35.0 MB | 20.0 MB |  |
| – without files | 17.5 MB | 10.0 MB |  |
| resident with 10,000 queued, later | 60.0 MB in 2 | 14.0 MB in 2 | < 64 MB |
| – proportional | 30.0 MB | 7.0 MB |  |
| – without files | 15.0 MB | 3.5 MB |  |
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", &b, want)
	}
}
