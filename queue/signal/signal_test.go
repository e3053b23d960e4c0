package signal_test

import (
	"testing"

	"postrider/queue/signal"
)

func TestEachListenerHearsOnceForManySignals(t *testing.T) {
	t.Parallel()
	var s signal.Signal
	s.Send() // nobody listens
	a, stopA := s.Listen()
	b, stopB := s.Listen()
	defer stopB()
	for range 3 {
		s.Send()
	}
	for name, c := range map[string]<-chan struct{}{"a": a, "b": b} {
		if !heard(c) || heard(c) {
			t.Errorf("%s did not hear exactly once", name)
		}
	}
	stopA()
	s.Send()
	if heard(a) || !heard(b) {
		t.Error("who stopped hears still, or who did not hears no more")
	}
}

func heard(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
