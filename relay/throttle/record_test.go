package throttle_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"postrider/relay/throttle"
)

func anyRecord(r *rand.Rand) throttle.Record {
	var n throttle.Record
	if r.IntN(2) == 0 {
		n.Until, n.Paused, n.Lifted, n.Level = r.Int64N(5), r.Int64N(4), r.Int64N(4), r.IntN(3)
		if n.Answered = r.Int64N(5); n.Answered > 0 && n.Answered >= n.Until {
			n.Level = 0
		}
	}
	if r.IntN(2) == 0 {
		n.Slowed = 1 + r.Int64N(4)
		n.Low = 1 + r.Float64()
		n.High, n.LowConns, n.HighConns = n.Low+r.Float64(), 1, 1+float64(r.IntN(3))
		n.Progress = float64(r.IntN(3)) / 2
	}
	if r.IntN(2) == 0 {
		n.Ended, n.Took = 1+r.Int64N(3), 1+r.IntN(20)
	}
	if r.IntN(3) == 0 {
		n.Hungry, n.HungryNode = r.Int64N(3), fmt.Sprint("n", r.IntN(2))
	}
	return n
}

func TestRecordsJoinInAnyOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		a, b := anyRecord(r), anyRecord(r)
		one, other := a.Join(b), b.Join(a)
		if one != other {
			t.Fatalf("%+v and %+v\nare %+v\nor  %+v", a, b, one, other)
		}
		if again := one.Join(b); again != one {
			t.Fatalf("%+v and %+v\nare %+v\nand heard again %+v", a, b, one, again)
		}
		if a.Sane() && b.Sane() && !one.Sane() {
			t.Fatalf("%+v and %+v are %+v", a, b, one)
		}
	}
}

func TestTheMoreCarefulRecordWins(t *testing.T) {
	t.Parallel()
	slow := throttle.Record{Slowed: 100, High: 10, Low: 8, HighConns: 5, LowConns: 4, Progress: 1}
	later := throttle.Record{Slowed: 200, High: 100, Low: 85, HighConns: 9, LowConns: 8}
	if got := slow.Join(later); got.Slowed != 200 || got.Low != 10 || got.High != 100 {
		t.Errorf("the later refusal at a higher rate makes %+v", got)
	}
	ahead := slow
	ahead.Progress = 1.5
	if got := slow.Join(ahead); got.Progress != 1.5 {
		t.Errorf("recovery goes on from %v, want 1.5", got.Progress)
	}
	paused, answered := throttle.Record{Until: 100, Level: 2}, throttle.Record{Until: 90, Level: 1, Answered: 95}
	if got := paused.Join(answered); got.Until != 100 || got.Level != 2 || got.Answered != 95 {
		t.Errorf("an answer before the pause ended makes %+v", got)
	}
}

func TestShardsThatAreTooLargeLoseTheOldest(t *testing.T) {
	t.Parallel()
	m := make(map[string]throttle.Record)
	for i := range 3000 {
		m[fmt.Sprintf("site-%04d.example.com", i)] = throttle.Record{Until: int64(i + 1), Level: 1}
	}
	b, err := throttle.EncodeShard(m)
	if err != nil || len(b) > throttle.MaxShard {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	got, err := throttle.DecodeShard(b)
	if err != nil || len(got) < 500 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if _, ok := got["site-2999.example.com"]; !ok {
		t.Error("the newest is lost")
	}
}

func TestAShardWithoutSitesCanBeWrittenTo(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"v":1}`, `{"v":1,"sites":null}`, `{"v":1,"sites":{}}`} {
		if m, err := throttle.DecodeShard([]byte(text)); err != nil || m == nil || len(m) > 0 {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
}

func FuzzDecodeShard(f *testing.F) {
	for _, m := range []map[string]throttle.Record{nil, {"google": {Until: 5, Level: 1}}, {"a": {Slowed: 1, High: 2, Low: 1, HighConns: 2, LowConns: 1, Progress: 0.5}}} {
		b, err := throttle.EncodeShard(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"v":1,"sites":{"a":{"s":1,"h":-1}}}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := throttle.DecodeShard(b)
		if err != nil {
			return
		}
		for k, r := range m {
			if !r.Sane() {
				t.Errorf("%s: %+v", k, r)
			}
		}
		if _, err := throttle.EncodeShard(m); err != nil {
			t.Error(err)
		}
	})
}
