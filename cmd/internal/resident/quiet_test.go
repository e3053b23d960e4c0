package resident

import (
	"testing"
	"time"
)

func TestMemoryIsGivenBackOnceAfterEachPieceOfWork(t *testing.T) {
	t.Parallel()
	const since = 10 * time.Second
	var q Quiet
	var used time.Duration
	for n, step := range []struct {
		spent time.Duration
		want  bool
	}{
		{300 * time.Millisecond, false}, // the start
		{10 * time.Millisecond, true},
		{10 * time.Millisecond, false},
		{0, false},
		{5 * time.Second, false}, // work
		{200 * time.Millisecond, false},
		{199 * time.Millisecond, true},
		{0, false},
	} {
		used += step.spent
		if got := q.Look(used, since); got != step.want {
			t.Errorf("step %d: %v, want %v", n, got, step.want)
		}
	}
}
