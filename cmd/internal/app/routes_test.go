package app

import (
	"testing"

	"postrider/mx"
	"postrider/queue"
)

// Intake and delivery do not write a domain alike; a lane that differed would
// count as a change of route, and delay the message.
func TestEveryWayToWriteADomainIsOneLane(t *testing.T) {
	t.Parallel()
	routes, err := mx.NewRoutes([]mx.Rule{{Pattern: "inside.example", Route: mx.Route{Hosts: []mx.SmartHost{{Host: "10.0.0.1", Port: 25}}}}})
	if err != nil {
		t.Fatal(err)
	}
	lane := laneOf(routes)
	for _, same := range [][]string{
		{"customer.example", "CUSTOMER.Example"}, {"xn--bcher-kva.example", "bücher.example", "BÜCHER.example", "XN--BCHER-KVA.example"},
		{string(lane("inside.example")), "INSIDE.example"}, {"[192.0.2.1]", "[192.0.2.1]"}, {"under_score.example", "Under_Score.example"},
	} {
		for _, domain := range same[1:] {
			if got := lane(domain); got != queue.Lane(same[0]) {
				t.Errorf("%s is in lane %q, want %q", domain, got, same[0])
			}
		}
	}
}
