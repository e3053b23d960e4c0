package app

import (
	"context"

	"postrider/dkim"
	"postrider/mx/zone"
)

// mostAsked are the servers of one zone that must have a key's record before it
// signs.
const mostAsked = 6

// nameServers finds those that a key's record is published at.
func nameServers(zones *zone.Asker) func(ctx context.Context, name string) ([]dkim.NameServer, error) {
	return func(ctx context.Context, name string) ([]dkim.NameServer, error) {
		place, err := zones.Find(ctx, name)
		if err != nil {
			return nil, err
		}
		var all []dkim.NameServer
		for _, server := range place.Servers[:min(len(place.Servers), mostAsked)] {
			all = append(all, dkim.NameServer{Name: server, Lookup: func(ctx context.Context, _ string) ([]string, error) {
				texts, err := zones.Texts(ctx, server, place.Name)
				return texts.Values, err
			}})
		}
		return all, nil
	}
}
