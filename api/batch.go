package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	v1 "postrider/api/v1"
	"postrider/queue"
)

type batchInput struct {
	Account        string `query:"account" maxLength:"256" doc:"For admins: which account sends."`
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"300" doc:"Covers the batch: at most 250 visible ASCII characters."`
	Batch          bareBody[v1.Batch]
}

func (s *Server) sendBatch(ctx context.Context, in *batchInput) (*answer[v1.BatchReceipt], error) {
	b := &in.Batch.Value
	strict := b.Mode != "permissive"
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	switch {
	case b.Mode != "" && b.Mode != "strict" && strict:
		return nil, f.at("#/mode", "not_one_of", "Want strict or permissive.")
	case len(b.Messages) == 0:
		return nil, f.at("#/messages", "required", "Give at least one message.")
	case len(b.Messages) > s.o.BatchMax:
		return nil, f.at("#/messages", "too_many", fmt.Sprintf("At most %d messages.", s.o.BatchMax))
	}
	key, err := keyInput{in.IdempotencyKey}.key()
	if err != nil {
		return nil, err
	}
	caller, err := s.sender(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	j := &batch{s: s, caller: caller, key: key, messages: b.Messages}
	if key != "" {
		j.digest = digestOf(b)
		for i := range b.Messages {
			if b.Messages[i].IdempotencyKey != "" {
				return nil, f.at("#/messages/"+strconv.Itoa(i)+"/idempotency_key", "not_allowed", "The header Idempotency-Key covers the batch: leave one of them out.")
			}
		}
	}
	if strict {
		if f := j.check(ctx); f != nil {
			return nil, f
		}
	}
	return j.send(ctx, strict)
}

// batch is one request for several messages under way.
type batch struct {
	s        *Server
	caller   access.Caller
	key      string
	digest   [32]byte // of the whole batch, if it has a key
	messages []v1.NewMessage
}

func (j *batch) request(i int) (send.Request, error) {
	m := &j.messages[i]
	q, err := j.s.read("#/messages/"+strconv.Itoa(i), m)
	if err != nil {
		return q, err
	}
	q.Operation = "POST /v1/messages/batch"
	if m.IdempotencyKey != "" {
		q.IdempotencyKey, err = keyInput{m.IdempotencyKey}.key()
		return q, err
	}
	if j.key == "" {
		return q, nil
	}
	if q.IdempotencyKey, err = compat.ItemKey(j.key, i); err != nil {
		return q, err
	}
	q.Fingerprint = sha256.Sum256(binary.BigEndian.AppendUint32(j.digest[:], uint32(i)))
	return q, nil
}

// check gathers what is wrong with any of the messages.
func (j *batch) check(ctx context.Context) *failure {
	var all *failure
	for i := range j.messages {
		q, err := j.request(i)
		if err == nil {
			err = j.s.o.Sender.Check(ctx, j.caller, q)
		}
		if err == nil {
			continue
		}
		f := j.below(ctx, i, err)
		switch {
		case all == nil && f.problem.Status < 500 && f.problem.Status != http.StatusTooManyRequests:
			all = f
		case all == nil, f.problem.Status >= 500, f.problem.Status == http.StatusTooManyRequests:
			return f
		default:
			all.problem.Errors = append(all.problem.Errors, f.problem.Errors...)
		}
		if len(all.problem.Errors) >= maxErrors {
			break
		}
	}
	return all
}

// maxErrors bounds how much is said about one batch.
const maxErrors = 100

// below is what is wrong with one message, told of the batch.
func (j *batch) below(ctx context.Context, i int, err error) *failure {
	var wrong *send.Error
	f := j.s.failureOf(ctx, err)
	if !errors.As(err, &wrong) {
		return f
	}
	base := "#/messages/" + strconv.Itoa(i)
	if len(f.problem.Errors) == 0 {
		return f.at(base, f.problem.Code, f.problem.Detail)
	}
	for k, e := range wrong.Problems {
		if len(e.Pointer) > 0 {
			f.problem.Errors[k].Pointer = base + e.Pointer[1:]
		}
	}
	return f
}

// inFlight is how many messages of a batch are made durable at the same time: the
// store commits them together.
const inFlight = 16

// send sends some at a time. Where none was accepted, a strict batch fails as a
// whole; else each message has its own outcome, and trouble that is not the
// message's ends the sending.
func (j *batch) send(ctx context.Context, strict bool) (*answer[v1.BatchReceipt], error) {
	out := v1.BatchReceipt{Data: make([]v1.BatchItem, len(j.messages))}
	var stop *failure
	for from, n := 0, 0; from < len(j.messages); from += n {
		n = inFlight
		if j.key != "" && out.Accepted == 0 {
			n = 1 // whether the key was used for another batch is seen by the first that is accepted
		}
		part := out.Data[from:min(from+n, len(out.Data))]
		failures := j.some(ctx, from, part, stop)
		for i, f := range failures {
			if f == nil {
				out.Accepted++
			} else if stop == nil && (fatal(f) || strict || f.problem.Code == string(queue.RefusedIdempotency) && j.key != "") {
				stop = f
			}
			part[i].Error = documentOf(ctx, f)
		}
		if stop != nil && out.Accepted == 0 {
			return nil, stop
		}
		if stop != nil && !fatal(stop) {
			stop = nil
		}
	}
	return answerOf(out), nil
}

// fatal reports trouble that the next message would have too.
func fatal(f *failure) bool {
	return f.problem.Status >= 500 || f.problem.Status == http.StatusTooManyRequests
}

func documentOf(ctx context.Context, f *failure) *v1.Problem {
	if f == nil {
		return nil
	}
	p := f.document(ctx)
	return &p
}

// some sends the messages from one on into items, unless something stops them.
func (j *batch) some(ctx context.Context, from int, items []v1.BatchItem, stop *failure) []*failure {
	failures := make([]*failure, len(items))
	var wg sync.WaitGroup
	for i := range items {
		items[i].Index = from + i
		if failures[i] = stop; stop != nil {
			continue
		}
		wg.Go(func() {
			receipt, f := j.one(ctx, from+i)
			if failures[i] = f; f == nil {
				r := receiptOf(receipt)
				items[i].Message = &r
			}
		})
	}
	wg.Wait()
	return failures
}

func (j *batch) one(ctx context.Context, i int) (send.Receipt, *failure) {
	q, err := j.request(i)
	var receipt send.Receipt
	if err == nil {
		receipt, err = j.s.o.Sender.Send(ctx, j.caller, q)
	}
	if err != nil {
		return receipt, j.below(ctx, i, err)
	}
	return receipt, nil
}

// digestOf is the fingerprint of a batch, however its JSON was written.
func digestOf(b *v1.Batch) [32]byte {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(b) // our own types into a hash: neither fails
	return [32]byte(h.Sum(nil))
}
