package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
)

const (
	trailLen  = 100
	trailTime = 7 * 24 * time.Hour
	trailSize = 60 << 10 // octets; a value of the cache holds 64 KiB
)

func trailKey(id string) string { return "webhook/" + id + "/deliveries" }

// readTrail returns the last attempts for an endpoint, oldest first. They are in
// the cache, since they are for people who look for what is wrong: the promises
// of this package do not depend on them.
func readTrail(ctx context.Context, c queue.Cache, id string, now time.Time) ([]Delivery, error) {
	b, err := c.CacheGet(ctx, trailKey(id), now)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	var ds []Delivery
	if err == nil {
		err = json.Unmarshal(b, &ds)
	}
	if err != nil {
		return nil, fmt.Errorf("read the deliveries of webhook %s: %w", id, err)
	}
	return ds, nil
}

// appendTrail adds attempts. Of two nodes that do so at once, one may win.
func appendTrail(ctx context.Context, c queue.Cache, id string, now time.Time, more []Delivery) error {
	if len(more) == 0 {
		return nil
	}
	ds, err := readTrail(ctx, c, id, now)
	if err != nil {
		return err
	}
	ds = append(ds, more...)
	ds = ds[max(0, len(ds)-trailLen):]
	b, err := fit(ds)
	if err == nil {
		err = c.CachePut(ctx, trailKey(id), b, now, trailTime)
	}
	if err != nil {
		return fmt.Errorf("keep the deliveries of webhook %s: %w", id, err)
	}
	return nil
}

// fit encodes attempts, without the answers of the oldest if all are too much.
func fit(ds []Delivery) ([]byte, error) {
	for i := 0; ; i++ {
		b, err := json.Marshal(ds)
		if err != nil || len(b) <= trailSize || i == len(ds) {
			return b, err
		}
		for ; i < len(ds) && ds[i].Response == ""; i++ {
		}
		if i < len(ds) {
			ds[i].Response = ""
		}
	}
}
