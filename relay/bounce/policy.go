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
}

const day = 24 * time.Hour

// policies holds every class. Blocks and pace are about us or about today, so a
// 5yz does not end them at once; a mailbox that is "temporarily unknown" for a
// day is unknown.
var policies = map[queue.Class]policy{
	queue.ClassRcptUnknown:     {maxAge: day},
	queue.ClassRcptDisabled:    {maxAge: day},
	queue.ClassRcptFull:        {maxAge: day},
	queue.ClassRcptRate:        {retry5xx: true, minDelay: 30 * time.Minute},
	queue.ClassRcptMoved:       {},
	queue.ClassRcptSyntax:      {},
	queue.ClassRcptSuppressed:  {},
	queue.ClassDomainBad:       {},
	queue.ClassDNSTemp:         {},
	queue.ClassNetConnect:      {},
	queue.ClassNetTLS:          {retry5xx: true},
	queue.ClassTLSRequired:     {},
	queue.ClassGreylist:        {retry5xx: true},
	queue.ClassRateSite:        {retry5xx: true, minDelay: 10 * time.Minute},
	queue.ClassBlockIP:         {retry5xx: true, maxTries: 3, maxAge: day, minDelay: time.Hour},
	queue.ClassBlockDomain:     {},
	queue.ClassAuthNone:        {maxAge: 6 * time.Hour},
	queue.ClassAuthSPF:         {maxAge: 6 * time.Hour},
	queue.ClassAuthDKIM:        {maxAge: 6 * time.Hour},
	queue.ClassAuthDMARC:       {maxAge: 6 * time.Hour},
	queue.ClassAuthAlign:       {maxAge: 6 * time.Hour},
	queue.ClassAuthPTR:         {maxAge: 6 * time.Hour},
	queue.ClassContentSpam:     {maxAge: day},
	queue.ClassContentVirus:    {maxAge: day},
	queue.ClassContentFormat:   {maxAge: day},
	queue.ClassContentUTF8:     {},
	queue.ClassRouteBad:        {retry5xx: true},
	queue.ClassSize:            {maxAge: day},
	queue.ClassPolicyRecipient: {},
	queue.ClassRelayDenied:     {maxAge: time.Hour},
	queue.ClassSenderInvalid:   {maxAge: day},
	queue.ClassRouteAuth:       {retry5xx: true, minDelay: 10 * time.Minute},
	queue.ClassLoop:            {},
	queue.ClassProtocol:        {},
	queue.ClassExpired:         {},
	queue.ClassSystemTemp:      {},
	queue.ClassLocalTemp:       {retry5xx: true},
	queue.ClassOtherTemp:       {},
	queue.ClassOtherPerm:       {},
}
