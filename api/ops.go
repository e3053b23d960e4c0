package api

import (
	"context"
	"net/http"
	"time"

	"postrider/api/access"
	"postrider/api/domain"
	"postrider/api/stream"
	"postrider/api/webhook"
	"postrider/queue"
	"postrider/queue/suppression"
	"postrider/queue/suspension"
)

// Rooms are what the operations of administration need of other rooms. Those of
// a nil one are not there.
type Rooms struct {
	Keys Keys
	// Registry keeps the list of sending domains, and LookupTXT verifies them.
	Registry     queue.Registry
	LookupTXT    domain.Lookup
	Rotations    Rotations
	Suppressions *suppression.Book
	Suspensions  *suspension.Book
	Streams      *stream.Book
	Webhooks     *webhook.Book
	WebhookTests WebhookTester
	Stats        Stats
	Doctor       Doctor
	Replies      Replies
	Sites        Sites
	Sending      Sending
}

// maxPage is how many entries one page of a list has at the most.
const maxPage = 200

// operatorOperations adds the operations of the files ops_*.go.
func (s *Server) operatorOperations(r *router) {
	s.queueOperations(r)
	s.limitOperations(r)
	if s.o.Suspensions != nil {
		s.suspensionOperations(r)
	}
	if s.o.Accounts != nil {
		s.accountOperations(r)
	}
	if s.o.Domains != nil {
		s.domainOperations(r)
	}
	if s.o.Doctor != nil {
		s.doctorOperations(r)
	}
	if s.o.Replies != nil {
		s.replyOperations(r)
	}
	if s.o.Sites != nil {
		s.siteOperations(r)
	}
	if s.o.Sending != nil {
		s.statusOperation(r)
	}
	s.selfOperation(r)
	if s.o.Keys != nil {
		s.keyOperations(r)
	}
	if s.o.Suppressions != nil {
		s.suppressionOperations(r)
	}
	if s.o.Streams != nil {
		s.streamOperations(r)
	}
	if s.o.Webhooks != nil {
		s.webhookOperations(r)
	}
	if s.o.Stats != nil {
		s.statsOperations(r)
	}
}

// mine is account for what belongs to exactly one: an admin that names none
// means its own.
func mine(ctx context.Context, asked string) (string, error) {
	c := access.From(ctx)
	of, err := account(ctx, asked)
	if err == nil && of == "" {
		of = c.Account
	}
	if err == nil && of == "" {
		return "", refusal(http.StatusUnprocessableEntity, "validation_failed", "Say whose it is to be.").
			at("#/account", "required", "Name an account.")
	}
	return of, err
}

func invalidRequest() *failure {
	return refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
}

// everybody stands for all accounts, where one must be named.
const everybody = "*"

// mineOrAll is account for what may be of all: the admin socket, which has no
// account, means everybody's if it names none.
func mineOrAll(ctx context.Context, asked string) (string, error) {
	of, err := account(ctx, asked)
	if err != nil || of != "" {
		return of, err
	}
	if of = access.From(ctx).Account; of == "" {
		of = everybody
	}
	return of, nil
}

// invalidField is a failure about one member.
func invalidField(pointer, code, detail string) *failure {
	return invalidRequest().at(pointer, code, detail)
}

// valueOf reads a time that may be missing.
func valueOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
