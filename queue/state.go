package queue

import "fmt"

// State is where a recipient stands. Every accepted recipient ends in exactly
// one of the final states.
type State uint8

// The states of a recipient. The numbers are stored: never renumber them.
const (
	StateQueued     State = 1  // waiting for its first attempt, due
	StateActive     State = 2  // leased
	StateDeferred   State = 3  // waiting for another attempt
	StateHeld       State = 4  // kept back until an operator or a rule releases it
	StateScheduled  State = 5  // waiting for the time its sender asked for
	StateDelivered  State = 6  // final: a mail exchanger of its domain took it
	StateRelayed    State = 7  // final: a smart host took it
	StateBounced    State = 8  // final: refused for good
	StateExpired    State = 9  // final: its lifetime ended
	StateCancelled  State = 10 // final: an operator or the sender withdrew it
	StateSuppressed State = 11 // final: never tried, the address is on the suppression list
)

var stateNames = [...]string{
	StateQueued: "queued", StateActive: "active", StateDeferred: "deferred",
	StateHeld: "held", StateScheduled: "scheduled", StateDelivered: "delivered",
	StateRelayed: "relayed", StateBounced: "bounced", StateExpired: "expired",
	StateCancelled: "cancelled", StateSuppressed: "suppressed",
}

// States lists all states, in the order of a recipient's life.
func States() []State {
	all := make([]State, 0, len(stateNames)-1)
	for s := StateQueued; s <= StateSuppressed; s++ {
		all = append(all, s)
	}
	return all
}

// Final reports whether the recipient's fate is sealed.
func (s State) Final() bool { return s >= StateDelivered && s <= StateSuppressed }

// Valid reports whether s is one of the states above.
func (s State) Valid() bool { return s >= StateQueued && s <= StateSuppressed }

func (s State) String() string {
	if s.Valid() {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(b []byte) error {
	v, err := ParseState(string(b))
	*s = v
	return err
}

// ParseState reads a state's name.
func ParseState(name string) (State, error) {
	for s := StateQueued; s <= StateSuppressed; s++ {
		if stateNames[s] == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("unknown state %.40q: want queued, active, deferred, held, scheduled, delivered, relayed, bounced, expired, cancelled or suppressed", name)
}
