package bounce

import (
	"time"

	"postrider/queue"
)

// policy is what is done about a class.
type policy struct {
	retry5xx bool          // a 5yz code is no reason to give up
	maxAge   time.Duration // of the message, after which it bounces; 0: its lifetime
	maxTries int           // attempts after which it bounces; 0: any number
	minDelay time.Duration // before the next try
	schedule queue.Schedule
	site     SiteAction
	rest     time.Duration // for SitePause

	suppress int           // bounces after which the address is not sent to again; 0: never
	within   time.Duration // in which they must fall; 0: whenever
	alerts   bool          // the operator should hear of it
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// The schedules of classes: how soon trouble of their kind is over. The last
// delay repeats, as always.
var (
	greySchedule  = queue.Schedule{5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 2 * time.Hour, 4 * time.Hour}
	paceSchedule  = queue.Schedule{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}
	netSchedule   = queue.Schedule{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}
	quotaSchedule = queue.Schedule{time.Hour, 2 * time.Hour, 4 * time.Hour}
	blockSchedule = queue.Schedule{2 * time.Hour, 8 * time.Hour}
	proofSchedule = queue.Schedule{30 * time.Minute, time.Hour, 2 * time.Hour}
)

// policies holds every class. Blocks and pace are about us or about today, so a
// 5yz does not end them at once; a mailbox that is "temporarily unknown" for a
// day is unknown. Only what is about the recipient suppresses.
var policies = map[queue.Class]policy{
	queue.ClassRcptUnknown:     {maxAge: day, schedule: quotaSchedule, suppress: 1},
	queue.ClassRcptDisabled:    {maxAge: day, schedule: quotaSchedule, suppress: 1},
	queue.ClassRcptFull:        {maxAge: day, schedule: quotaSchedule, suppress: 3, within: 2 * week},
	queue.ClassRcptRate:        {retry5xx: true, minDelay: 30 * time.Minute, schedule: quotaSchedule},
	queue.ClassRcptMoved:       {suppress: 1},
	queue.ClassRcptSyntax:      {suppress: 1},
	queue.ClassRcptSuppressed:  {},
	queue.ClassDomainBad:       {suppress: 1},
	queue.ClassDNSTemp:         {schedule: netSchedule},
	queue.ClassNetConnect:      {schedule: netSchedule},
	queue.ClassNetTLS:          {retry5xx: true, schedule: netSchedule},
	queue.ClassTLSRequired:     {retry5xx: true, maxAge: day, schedule: netSchedule, alerts: true},
	queue.ClassGreylist:        {retry5xx: true, schedule: greySchedule},
	queue.ClassRateSite:        {retry5xx: true, minDelay: 10 * time.Minute, schedule: paceSchedule, site: SiteSlow},
	queue.ClassBlockIP:         {retry5xx: true, maxTries: 3, maxAge: day, minDelay: time.Hour, schedule: blockSchedule, site: SitePause, rest: time.Hour, alerts: true},
	queue.ClassBlockDomain:     {maxAge: day, schedule: blockSchedule, alerts: true},
	queue.ClassAuthNone:        {maxAge: 6 * time.Hour, schedule: proofSchedule, alerts: true},
	queue.ClassAuthSPF:         {maxAge: 6 * time.Hour, schedule: proofSchedule, alerts: true},
	queue.ClassAuthDKIM:        {maxAge: 6 * time.Hour, schedule: proofSchedule, alerts: true},
	queue.ClassAuthDMARC:       {maxAge: 6 * time.Hour, schedule: proofSchedule, alerts: true},
	queue.ClassAuthAlign:       {maxAge: 6 * time.Hour, schedule: proofSchedule, alerts: true},
	queue.ClassAuthPTR:         {maxAge: 6 * time.Hour, schedule: proofSchedule, alerts: true},
	queue.ClassContentSpam:     {maxAge: day, schedule: quotaSchedule},
	queue.ClassContentVirus:    {maxAge: day},
	queue.ClassContentFormat:   {maxAge: day, alerts: true},
	queue.ClassContentUTF8:     {},
	queue.ClassRouteBad:        {retry5xx: true, schedule: netSchedule, alerts: true},
	queue.ClassSize:            {maxAge: day},
	queue.ClassPolicyRecipient: {suppress: 3, within: 30 * day},
	queue.ClassRelayDenied:     {maxAge: time.Hour},
	queue.ClassSenderInvalid:   {maxAge: day, schedule: proofSchedule, alerts: true},
	queue.ClassRouteAuth:       {retry5xx: true, minDelay: 10 * time.Minute, schedule: netSchedule, site: SitePause, rest: 10 * time.Minute, alerts: true},
	queue.ClassLoop:            {},
	queue.ClassProtocol:        {},
	queue.ClassExpired:         {},
	queue.ClassSystemTemp:      {},
	queue.ClassLocalTemp:       {retry5xx: true},
	queue.ClassLocalStaging:    {},
	queue.ClassOtherTemp:       {},
	queue.ClassOtherPerm:       {}, // words that nobody knows may be about us
}

// SuppressAfter says after how many bounces of a class, within what time, an
// address should not be sent to any more: 0 for never, and no time for whenever.
// It is 0 for everything that is about us and not about the recipient.
func SuppressAfter(c queue.Class) (times int, within time.Duration) {
	p := policies[c]
	return p.suppress, p.within
}

// Alerts reports whether the operator should hear of a class, since mail will go
// on failing until something is mended here.
func Alerts(c queue.Class) bool { return policies[c].alerts }

// with is the policy with what a rule changes of it.
func (p policy) with(d deed) policy {
	if d.limited {
		p.maxTries, p.maxAge = d.maxTries, d.maxAge
	}
	p.retry5xx = p.retry5xx || d.retry
	if d.wait > 0 {
		p.minDelay = d.wait
	}
	switch {
	case d.pause > 0:
		p.site, p.rest = SitePause, d.pause
	case d.slow:
		p.site, p.rest = SiteSlow, 0
	}
	return p
}

func (p policy) exhausted(class queue.Class, h History) bool {
	if h.Tries < 2 || h.Last != queue.ClassNone && h.Last != class {
		return false // the first time that this happens, whatever was before
	}
	return p.maxTries > 0 && h.Tries >= p.maxTries || p.maxAge > 0 && h.Age >= p.maxAge
}
