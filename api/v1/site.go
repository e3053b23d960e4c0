package v1

import "time"

// Site is who is behind the mail servers of domains, with the limits that this
// node keeps towards it.
type Site struct {
	Site        string     `json:"site" doc:"Its name: a provider, a domain, or a smart host; behind \" from \" the source address." example:"google"`
	Connections int        `json:"connections" doc:"In use now."`
	Most        int        `json:"most_connections" doc:"That may be in use now."`
	PerMinute   float64    `json:"per_minute,omitempty" doc:"Messages that may go to it in a minute; absent: no limit."`
	Messages    int        `json:"messages_per_connection,omitempty" doc:"Messages over one connection before it is closed, by what is known of the site; absent: as many as delivery.messages_per_connection says."`
	PausedUntil *time.Time `json:"paused_until,omitempty" doc:"Nothing goes to it until then."`
	Class       string     `json:"class,omitempty" doc:"The reason class for which it is paused, if it is known." example:"block.ip"`
	Recovered   float64    `json:"recovered" doc:"How far its limits have come back since it last refused more, from 0 to 1."`
	RefusedAt   *time.Time `json:"refused_at,omitempty" doc:"When that was."`
	Detail      string     `json:"detail,omitempty" doc:"The limit that binds, in a sentence."`
}

// SiteList holds sites by name.
type SiteList struct {
	Data []Site `json:"data" nullable:"false"`
	More bool   `json:"has_more" doc:"There are more than were asked for."`
}
