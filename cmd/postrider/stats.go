package main

import (
	"context"

	"postrider/api/client"
	v1 "postrider/api/v1"
)

type statsCmd struct {
	adminFlags
	By       string   `enum:",stream,tag,key,sender_domain,recipient_domain" default:"" help:"Count apart by stream, tag, key, sender_domain or recipient_domain."`
	Per      string   `enum:"hour,day,month" default:"day" help:"How long a period is: hour, day or month."`
	Metric   []string `help:"What to count: accepted, recipients, delivered, relayed, deferred, bounced, expired, canceled, suppressed, held; may be repeated. Default: the usual ones."`
	Since    past     `placeholder:"TIME" help:"From when: 2026-01-31, or 30d for thirty days ago. Default: seven days ago."`
	Until    past     `placeholder:"TIME" help:"Until when; now by default."`
	Account  string   `help:"Whose; all together by default."`
	Timezone string   `placeholder:"ZONE" help:"By which days and months begin, such as Europe/Berlin. Default: UTC."`
}

// usualMetrics are the columns of the table.
var usualMetrics = []string{"accepted", "recipients", "delivered", "relayed", "deferred", "bounced", "expired", "suppressed"}

// Run prints a line per period.
func (c *statsCmd) Run(sh *shell) error {
	cl, err := c.connect(sh)
	if err != nil {
		return err
	}
	metrics := c.Metric
	if len(metrics) == 0 && !c.JSON {
		metrics = usualMetrics
	}
	s, err := cl.Stats(context.Background(), client.StatsQuery{
		Account: c.Account, Dimension: c.By, Granularity: c.Per, Timezone: c.Timezone, Metrics: metrics, From: c.Since.Time, To: c.Until.Time,
	})
	if err != nil {
		return explain(err)
	}
	if c.JSON {
		return printJSON(sh.stdout, s)
	}
	return c.print(sh, s, metrics)
}

func (c *statsCmd) print(sh *shell, s v1.Stats, metrics []string) error {
	form := map[string]string{"hour": "2006-01-02 15:04", "day": "2006-01-02", "month": "2006-01"}[s.Granularity]
	head := []string{"PERIOD"}
	if c.By != "" {
		head = append(head, "NAME")
	}
	t := newTable(sh.stdout, append(head, metrics...)...)
	for _, r := range s.Data {
		cells := []any{r.Period.Format(form)}
		if c.By != "" {
			cells = append(cells, or(r.Name, "-"))
		}
		for _, m := range metrics {
			cells = append(cells, r.Counts[m])
		}
		t.row(cells...)
	}
	return t.flush()
}
