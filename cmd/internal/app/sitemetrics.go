package app

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/relay/throttle"
)

// Names of sites come from the DNS of whoever is written to: only so many are
// shown.
const (
	maxSitesTimed  = 50
	maxSitesPaused = 20
	// siteForgotten is how long a site must have been silent before another may
	// take its place.
	siteForgotten = time.Hour
)

// otherSites is the name of all sites beyond those that have a place.
const otherSites = "other"

// siteTimes shows how long sites take for a message.
type siteTimes struct {
	times *prometheus.HistogramVec
	now   func() time.Time

	mu   sync.Mutex
	used map[string]time.Time
}

func newSiteTimes(now func() time.Time) *siteTimes {
	return &siteTimes{
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postrider_site_seconds", Help: "Time that a delivery attempt took, connecting included, by site; beyond so many sites, all others together.",
			Buckets: []float64{.01, .03, .1, .3, 1, 3, 10, 30, 120, 600},
		}, []string{"site"}),
		now: now, used: make(map[string]time.Time),
	}
}

func (s *siteTimes) observe(site string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock() // of the observation too: the site must keep its place
	s.times.WithLabelValues(s.place(site)).Observe(took.Seconds())
}

// place is the name under which a site is shown.
func (s *siteTimes) place(site string) string {
	now := s.now()
	if _, known := s.used[site]; !known && len(s.used) >= maxSitesTimed && !s.makeRoom(now) {
		return otherSites
	}
	s.used[site] = now
	return site
}

// makeRoom takes the place of the site that was silent for longest, if it was for
// long.
func (s *siteTimes) makeRoom(now time.Time) bool {
	oldest, at := "", now.Add(-siteForgotten)
	for site, used := range s.used {
		if !used.After(at) {
			oldest, at = site, used
		}
	}
	if oldest == "" {
		return false
	}
	delete(s.used, oldest)
	s.times.DeleteLabelValues(oldest)
	return true
}

// sitesCollector shows which sites are paused, asked when scraped.
type sitesCollector struct {
	sites *throttle.Sites
	now   func() time.Time
}

var (
	sitesPaused = prometheus.NewDesc("postrider_sites_paused", "Sites to which nothing is sent for now.", nil, nil)
	sitePause   = prometheus.NewDesc("postrider_site_pause_seconds", "For how long a site is paused still; only some of those that are.", []string{"site"}, nil)
	sitesSlowed = prometheus.NewDesc("postrider_sites_slowed", "Sites that are sent less to than their rules allow, since they refused more.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c sitesCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- sitesPaused
	ch <- sitePause
	ch <- sitesSlowed
}

// Collect implements prometheus.Collector.
func (c sitesCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.now()
	stats := c.sites.Stats(now)
	ch <- prometheus.MustNewConstMetric(sitesPaused, prometheus.GaugeValue, float64(stats.Paused))
	ch <- prometheus.MustNewConstMetric(sitesSlowed, prometheus.GaugeValue, float64(stats.Slowed))
	if stats.Paused == 0 {
		return
	}
	shown := 0
	for _, s := range c.sites.List() { // those that are paused come first
		left := s.Until.Sub(now)
		if left <= 0 || shown == maxSitesPaused {
			return
		}
		shown++
		ch <- prometheus.MustNewConstMetric(sitePause, prometheus.GaugeValue, left.Seconds(), s.Key)
	}
}
