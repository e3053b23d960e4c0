package resend

import (
	"fmt"
	"net/http"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

const maxBatch = 100

type batchAnswer struct {
	Data   []created    `json:"data"`
	Errors []batchError `json:"errors,omitempty"`
}

type batchError struct {
	Index   int    `json:"index"`
	Message string `json:"message"`
}

// batch is one request for several emails.
type batch struct {
	*surface
	caller access.Caller
	emails []email
	keys   []string
}

func (s *surface) createBatch(w http.ResponseWriter, r *http.Request) {
	b, permissive, err := s.readBatch(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !permissive {
		for i, err := range b.CheckAll(r.Context(), b.caller, len(b.emails), b.request) {
			if err != nil {
				s.fail(w, r, b.nth(r, i, err))
				return
			}
		}
	}
	outcomes := b.SendAll(r.Context(), b.caller, len(b.emails), 0, b.request)
	answer, first := b.answer(r, outcomes)
	if first != nil && (!permissive || len(answer.Data) == 0 && first.Status != http.StatusUnprocessableEntity) {
		if len(answer.Data) > 0 {
			first.Detail = fmt.Sprintf("%s (%d of %d emails were accepted; with an Idempotency-Key the batch can be sent again)",
				rename.Message(first), len(answer.Data), len(b.emails))
			first.Problems = nil
		}
		s.fail(w, r, first)
		return
	}
	compat.WriteJSON(w, http.StatusOK, answer)
}

func (s *surface) readBatch(w http.ResponseWriter, r *http.Request) (b *batch, permissive bool, err error) {
	b = &batch{surface: s}
	if b.caller, err = s.Caller(w, r, queue.ScopeMessagesSend); err != nil {
		return nil, false, err
	}
	key, err := compat.IdempotencyKey(r)
	if err != nil {
		return nil, false, err
	}
	switch mode := r.Header.Get("X-Batch-Validation"); mode {
	case "", "strict":
	case "permissive":
		permissive = true
	default:
		return nil, false, compat.Refuse("x-batch-validation", "invalid", "must be strict or permissive")
	}
	if err := s.DecodeJSON(w, r, &b.emails); err != nil {
		return nil, false, err
	}
	if n := len(b.emails); n == 0 || n > maxBatch {
		return nil, false, compat.Refuse("body", "too_many", fmt.Sprintf("must have 1 to %d emails", maxBatch))
	}
	for i := range b.emails {
		item, err := compat.ItemKey(key, i)
		if err != nil {
			return nil, false, err
		}
		b.keys = append(b.keys, item)
	}
	return b, permissive, nil
}

func (b *batch) request(i int) (send.Request, error) {
	r, err := b.emails[i].request(b.Now())
	r.Operation, r.IdempotencyKey = "POST /emails/batch", b.keys[i]
	return r, err
}

// nth says which email an error is about.
func (b *batch) nth(r *http.Request, i int, err error) *send.Error {
	e := *b.Fault(r, err)
	e.Detail = fmt.Sprintf("email %d: %s", i, e.Detail)
	problems := make([]send.Problem, len(e.Problems))
	for j, p := range e.Problems {
		p.Pointer = fmt.Sprintf("[%d].%s", i, rename.Field(p))
		problems[j] = p
	}
	e.Problems = problems
	return &e
}

// answer sorts the outcomes, and returns the first error besides.
func (b *batch) answer(r *http.Request, outcomes []compat.Outcome) (a batchAnswer, first *send.Error) {
	a.Data = make([]created, 0, len(outcomes))
	for i, o := range outcomes {
		if o.Err == nil {
			a.Data = append(a.Data, created{o.Receipt.ID.String()})
			continue
		}
		e := b.Fault(r, o.Err)
		a.Errors = append(a.Errors, batchError{i, rename.Message(e)})
		if first == nil {
			first = b.nth(r, i, e)
		}
	}
	return a, first
}
