// Package postmark answers as the API of Postmark does to those who send: POST of
// /email and /email/batch.
//
// Its libraries find out which addresses are suppressed from the text of an
// error, so that text is part of the contract.
package postmark

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"

	"postrider/api/access"
	"postrider/api/compat"
	"postrider/api/send"
	"postrider/queue"
)

const maxBatch = 500

type surface struct{ compat.Options }

// Routes adds the routes of the surface.
func Routes(r chi.Router, o compat.Options) {
	s := &surface{o.WithDefaults()}
	r.Post("/email", s.create)
	r.Post("/email/batch", s.createBatch)
	r.Post("/email/withTemplate", s.templated)
	r.Post("/email/batchWithTemplates", s.templated)
	r.Post("/email/bulk", s.bulk)
}

// accepted is the answer for one message.
type accepted struct {
	To          string `json:"To,omitempty"`
	Cc          string `json:"Cc,omitempty"`
	Bcc         string `json:"Bcc,omitempty"`
	SubmittedAt string `json:"SubmittedAt,omitempty"`
	MessageID   string `json:"MessageID,omitempty"`
	ErrorCode   int    `json:"ErrorCode"`
	Message     string `json:"Message"`
}

func (s *surface) create(w http.ResponseWriter, r *http.Request) {
	caller, key, err := s.caller(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var e email
	if err := s.DecodeJSON(w, r, &e, json.MatchCaseInsensitiveNames(true)); err != nil {
		s.fail(w, r, err)
		return
	}
	req, err := e.request()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	req.Operation, req.IdempotencyKey = "POST /email", key
	receipt, err := s.Sender.Send(r.Context(), caller, req)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if receipt.Replayed {
		w.Header().Set("Idempotency-Replayed", "true")
	}
	compat.WriteJSON(w, http.StatusOK, answer(receipt))
}

// createBatch answers 200 with an outcome for each message, whatever they are.
func (s *surface) createBatch(w http.ResponseWriter, r *http.Request) {
	caller, key, err := s.caller(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var emails []email
	if err := s.DecodeJSON(w, r, &emails, json.MatchCaseInsensitiveNames(true)); err != nil {
		s.fail(w, r, err)
		return
	}
	if len(emails) > maxBatch {
		s.fail(w, r, &send.Error{Status: http.StatusUnprocessableEntity, Code: codeBatch, Detail: fmt.Sprintf("A batch has at most %d messages.", maxBatch)})
		return
	}
	outcomes := s.SendAll(r.Context(), caller, len(emails), 0, func(i int) (send.Request, error) {
		req, err := emails[i].request()
		if err != nil {
			return req, err
		}
		req.Operation = "POST /email/batch"
		req.IdempotencyKey, err = compat.ItemKey(key, i)
		return req, err
	})
	answers := make([]accepted, len(outcomes))
	for i, o := range outcomes {
		if o.Err != nil {
			_, f := faultOf(s.Fault(r, o.Err))
			answers[i] = accepted{ErrorCode: f.ErrorCode, Message: f.Message}
			continue
		}
		answers[i] = answer(o.Receipt)
	}
	compat.WriteJSON(w, http.StatusOK, answers)
}

func (s *surface) templated(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, "This relay has no templates. Send HtmlBody or TextBody to /email.")
}

func (s *surface) bulk(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, "This relay has no bulk requests. Send up to 500 messages to /email/batch.")
}

func (s *surface) refuse(w http.ResponseWriter, r *http.Request, detail string) {
	if _, _, err := s.caller(w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	s.fail(w, r, &send.Error{Status: http.StatusUnprocessableEntity, Code: "not_supported", Detail: detail})
}

// testToken is what Postmark takes for a request that sends nothing.
const testToken = "POSTMARK_API_TEST"

func (s *surface) caller(w http.ResponseWriter, r *http.Request) (c access.Caller, key string, err error) {
	if c, err = s.Caller(w, r, queue.ScopeMessagesSend); err != nil {
		if r.Header.Get("X-Postmark-Server-Token") == testToken && s.Fault(r, err).Status == http.StatusUnauthorized {
			err = &send.Error{Status: http.StatusUnauthorized, Code: "unauthorized",
				Detail: "This relay does not take the token " + testToken + ". Create a sandbox key, which sends nothing either."}
		}
		return c, "", err
	}
	key, err = compat.IdempotencyKey(r)
	return c, key, err
}

func answer(r send.Receipt) accepted {
	a := accepted{SubmittedAt: r.CreatedAt.Format(time.RFC3339Nano), MessageID: r.ID.String(), Message: "OK"}
	var inactive []string
	for _, rcpt := range r.Recipients {
		list := &a.To
		switch rcpt.Type {
		case "cc":
			list = &a.Cc
		case "bcc":
			list = &a.Bcc
		}
		if *list != "" {
			*list += ", "
		}
		*list += rcpt.Address.String()
		if rcpt.Suppressed {
			inactive = append(inactive, rcpt.Address.String())
		}
	}
	if len(inactive) > 0 {
		// Libraries read the addresses out of this sentence.
		a.Message = "Message OK, but will not deliver to these inactive addresses: " + strings.Join(inactive, ", ")
	}
	return a
}

// fault is the body of every error.
type fault struct {
	ErrorCode int    `json:"ErrorCode"`
	Message   string `json:"Message"`
}

const codeBatch = "batch_too_large"

func (s *surface) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := s.Fault(r, err)
	compat.WriteRetry(w.Header(), e)
	status, f := faultOf(e)
	compat.WriteJSON(w, status, f)
}

// Postmark's numbers for its errors.
const (
	numberToken       = 10  // Bad or missing API token
	numberMaintenance = 100 // Maintenance
	numberInvalid     = 300 // Invalid email request
	numberSender      = 400 // Sender Signature not found
	numberJSON        = 402 // Invalid JSON
	numberNotAllowed  = 405 // Not allowed to send
	numberInactive    = 406 // Inactive recipient
	numberJSONNeeded  = 409 // JSON required
	numberTooMany     = 410 // Too many batch messages
	numberLimited     = 429
)

func faultOf(e *send.Error) (status int, f fault) {
	status, f = e.Status, fault{numberInvalid, rename.Message(e)}
	switch e.Code {
	case compat.CodeNoKey, "unauthorized", "key_expired":
		status, f.ErrorCode = http.StatusUnauthorized, numberToken
	case "forbidden_scope", "ip_not_allowed":
		status, f.ErrorCode = http.StatusUnauthorized, numberToken
	case "account_disabled", "recipient_not_allowed", "stream_not_allowed":
		status, f.ErrorCode = http.StatusUnprocessableEntity, numberNotAllowed
	case "sender_not_allowed":
		status, f.ErrorCode = http.StatusUnprocessableEntity, numberSender
	case "all_recipients_suppressed":
		status, f.ErrorCode = http.StatusUnprocessableEntity, numberInactive
		f.Message = inactive(e.Suppressed)
	case codeBatch:
		f.ErrorCode = numberTooMany
	case "invalid_json":
		status, f.ErrorCode = http.StatusUnprocessableEntity, numberJSON
	case "unsupported_media_type":
		status, f.ErrorCode = http.StatusUnprocessableEntity, numberJSONNeeded
	case "rate_limited", "quota_exceeded":
		status, f.ErrorCode = http.StatusTooManyRequests, numberLimited
	case "idempotency_key_invalid":
		status = http.StatusUnprocessableEntity
	}
	if status >= 500 {
		f.ErrorCode = numberMaintenance
	}
	return status, f
}

// inactive is the sentence in which libraries look for the addresses.
func inactive(addresses []string) string {
	return "You tried to send to recipient(s) that have been marked as inactive. Found inactive addresses: " +
		strings.Join(addresses, ", ") + ". Inactive recipients are ones that have generated a hard bounce, a spam complaint, or a manual suppression."
}

// rename gives the members of the native request Postmark's names.
var rename compat.Rename = func(parts []string) string {
	if field, ok := fields[parts[0]]; ok {
		return field
	}
	if len(parts) > 1 && parts[0] == "attachments" {
		if i, err := strconv.Atoi(parts[1]); err == nil {
			return fmt.Sprintf("Attachments[%d]", i)
		}
	}
	return compat.Path(parts...)
}

var fields = map[string]string{
	"from": "From", "to": "To", "cc": "Cc", "bcc": "Bcc", "reply_to": "ReplyTo", "subject": "Subject",
	"html": "HtmlBody", "text": "TextBody", "headers": "Headers", "tags": "Tag", "metadata": "Metadata", "stream": "MessageStream",
}
