package v1

import "time"

// Stats are counts of what became of mail. They are some seconds behind.
type Stats struct {
	From        time.Time  `json:"from"`
	To          time.Time  `json:"to"`
	Granularity string     `json:"granularity" doc:"hour, day or month."`
	Timezone    string     `json:"timezone" doc:"By which days and months begin."`
	Dimension   string     `json:"dimension,omitempty" doc:"What name is; absent: there are totals only."`
	Data        []StatsRow `json:"data" nullable:"false" doc:"By period, then by name. There is no row where nothing happened."`
}

// StatsRow is the counts of a period and, with a dimension, of one name of it.
type StatsRow struct {
	Period time.Time        `json:"period" doc:"Its beginning."`
	Name   string           `json:"name,omitempty"`
	Counts map[string]int64 `json:"counts" doc:"By metric."`
}
