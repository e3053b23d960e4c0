package stats

import (
	"encoding/json"
	"fmt"
	"slices"

	"postrider/queue"
)

// Metric is something that is counted.
type Metric string

// The metrics.
const (
	Accepted   Metric = "accepted"   // messages
	Recipients Metric = "recipients" // of them
	Delivered  Metric = "delivered"
	Relayed    Metric = "relayed"
	Deferred   Metric = "deferred" // attempts that are to be repeated
	Bounced    Metric = "bounced"
	Expired    Metric = "expired"
	Canceled   Metric = "canceled"
	Suppressed Metric = "suppressed"
	Held       Metric = "held"
)

// Metrics lists all metrics. The order is stored.
func Metrics() []Metric {
	return []Metric{Accepted, Recipients, Delivered, Relayed, Deferred, Bounced, Expired, Canceled, Suppressed, Held}
}

// Places in counts.
const (
	atAccepted = iota
	atRecipients
	atDelivered
	atRelayed
	atDeferred
	atBounced
	atExpired
	atCanceled
	atSuppressed
	atHeld
	metrics
)

var placeOf = map[queue.EventKind]int{
	queue.EventDelivered: atDelivered, queue.EventRelayed: atRelayed, queue.EventDeferred: atDeferred, queue.EventBounced: atBounced,
	queue.EventExpired: atExpired, queue.EventCancelled: atCanceled, queue.EventSuppressed: atSuppressed, queue.EventHeld: atHeld,
}

// counts are numbers by metric. In JSON zeros at the end are left out.
type counts [metrics]int64

func (c *counts) add(o *counts) {
	for i := range c {
		c[i] += o[i]
	}
}

func (c *counts) total() (n int64) {
	for _, v := range c {
		n += v
	}
	return n
}

// MarshalJSON writes an array.
func (c counts) MarshalJSON() ([]byte, error) {
	n := metrics
	for n > 0 && c[n-1] == 0 {
		n--
	}
	return json.Marshal(c[:n])
}

// UnmarshalJSON reads an array.
func (c *counts) UnmarshalJSON(b []byte) error {
	var all []int64
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	if len(all) > metrics {
		return fmt.Errorf("%d counts are of a later version", len(all))
	}
	*c = counts{}
	copy(c[:], all)
	return nil
}

// Dimension is what counts can be split by.
type Dimension string

// The dimensions.
const (
	None              Dimension = ""
	ByStream          Dimension = "stream"
	ByTag             Dimension = "tag"
	ByKey             Dimension = "key" // id of the key that handed it in
	BySenderDomain    Dimension = "sender_domain"
	ByRecipientDomain Dimension = "recipient_domain"
)

// Dimensions lists all dimensions but None.
func Dimensions() []Dimension {
	return []Dimension{ByStream, ByTag, ByKey, BySenderDomain, ByRecipientDomain}
}

// Valid reports whether d is one of the dimensions.
func (d Dimension) Valid() bool { return d == None || slices.Contains(Dimensions(), d) }

// Other is the name of what has no name of its own any more, since a day has too
// many of a dimension.
const Other = "(other)"

// hours are counts by hour of the day, in UTC.
type hours map[int]*counts

func (h hours) at(hour int) *counts {
	c := h[hour]
	if c == nil {
		c = new(counts)
		h[hour] = c
	}
	return c
}

func (h hours) add(o hours) {
	for hour, c := range o {
		h.at(hour).add(c)
	}
}

func (h hours) total() (n int64) {
	for _, c := range h {
		n += c.total()
	}
	return n
}

// table is counts by dimension and name. Those of None have the empty name.
type table map[Dimension]map[string]hours

func (t table) at(d Dimension, name string) hours {
	names := t[d]
	if names == nil {
		names = make(map[string]hours)
		t[d] = names
	}
	h := names[name]
	if h == nil {
		h = make(hours)
		names[name] = h
	}
	return h
}
