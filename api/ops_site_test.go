package api_test

import (
	"context"
	"testing"
	"time"

	"postrider/api"
	v1 "postrider/api/v1"
)

// gone are sites of which the paused ones can be unpaused.
type gone []v1.Site

func (g gone) Sites(n int) []v1.Site { return g[:min(n, len(g))] }

func (g gone) Unpause(_ context.Context, site string) bool {
	for _, s := range g {
		if s.Site == site {
			return s.PausedUntil != nil
		}
	}
	return false
}

func TestOperatorsSeeSitesAndEndPauses(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	sites := gone{{Site: "outlook from 192.0.2.1", PausedUntil: &until, Class: "block.ip"}, {Site: "google", Recovered: 1}}
	w, _ := everything(t, func(o *api.Options) { o.Sites = sites })
	for k, want := range map[string]int{key: 200, readKey: 403, "": 401} {
		if res, _ := w.call("GET", "/v1/queue/sites", k, nil, nil); res.StatusCode != want {
			t.Errorf("%q gets %d, want %d", k, res.StatusCode, want)
		}
	}
	list, err := w.sock.Sites(t.Context(), 1)
	if err != nil || len(list.Data) != 1 || !list.More || list.Data[0].Class != "block.ip" {
		t.Errorf("%v: %+v", err, list)
	}
	if err := w.sock.UnpauseSite(t.Context(), "outlook from 192.0.2.1"); err != nil {
		t.Error(err)
	}
	for _, site := range []string{"google", "nobody"} {
		if res, _ := w.call("DELETE", "/v1/queue/sites/pause?site="+site, key, nil, nil); res.StatusCode != 404 {
			t.Errorf("%s: %d, want 404", site, res.StatusCode)
		}
	}
}
