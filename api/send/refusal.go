package send

import (
	"errors"
	"net/http"
	"time"

	"postrider/queue"
)

// fullWait is when a full queue may have room again.
const fullWait = 30 * time.Second

// verdict is what a kind of refusal means over HTTP. The texts are ours: those of
// a refusal may name addresses, which HTTP errors do not repeat.
type verdict struct {
	status int
	code   string
	detail string
}

func verdictOf(k queue.RefusalKind) (verdict, bool) {
	switch k {
	case queue.RefusedSender:
		return verdict{http.StatusForbidden, "sender_not_allowed", "This sender is not allowed for the account or key. Use one of its own addresses, or have this one added to its allowed senders."}, true
	case queue.RefusedRecipient:
		return verdict{http.StatusForbidden, "recipient_not_allowed", "The key may not send to one of these recipients. Use a key that may, or have the recipient added to its allowed recipients."}, true
	case queue.RefusedStream:
		return verdict{http.StatusForbidden, "stream_not_allowed", "The key may not send in this stream. Use a key that may, or have the stream added to its allowed streams."}, true
	case queue.RefusedAccount:
		return verdict{http.StatusForbidden, "account_disabled", "The account may not send. Ask the relay's operator to enable it."}, true
	case queue.RefusedCredential:
		return verdict{http.StatusUnauthorized, "key_expired", "The key has expired or was deleted. Use a new one."}, true
	case queue.RefusedSize:
		return verdict{http.StatusRequestEntityTooLarge, "payload_too_large", "The message, its header, or one of its fields is too large. Send links instead of large files."}, true
	case queue.RefusedContent:
		return verdict{http.StatusUnprocessableEntity, "invalid_content", "The message cannot be sent as it is. Check that it is well-formed, and that binary data in it is encoded."}, true
	case queue.RefusedRate:
		return verdict{http.StatusTooManyRequests, "rate_limited", "The account or key sends more than it may. Try again later."}, true
	case queue.RefusedFull:
		return verdict{http.StatusServiceUnavailable, "queue_full", "The relay has no room for more mail at the moment. Try again later."}, true
	case queue.RefusedUnavailable:
		return verdict{http.StatusServiceUnavailable, "unavailable", "The relay cannot take mail at the moment. Try again later."}, true
	case queue.RefusedIdempotency:
		return verdict{http.StatusUnprocessableEntity, "idempotency_key_reused", "This idempotency key was used for another message. Use a new key for every message."}, true
	case queue.RefusedKey:
		return verdict{http.StatusBadRequest, "idempotency_key_invalid", "An idempotency key is 1 to 255 visible ASCII characters. Use a UUID."}, true
	case queue.RefusedRecipientMax:
		return verdict{http.StatusUnprocessableEntity, "too_many_recipients", "The message has too many recipients. Send it in several."}, true
	}
	return verdict{}, false
}

// refused translates the relay's no. What is no refusal stays as it is: our own
// trouble, for the log.
func refused(err error, p *prepared) error {
	var own *Error
	if errors.As(err, &own) {
		return own // from reading the content
	}
	var r *queue.Refusal
	if !errors.As(err, &r) {
		return tooLarge(err)
	}
	switch r.Kind {
	case queue.RefusedSuppressed:
		return suppressedError(p)
	case queue.RefusedAddress:
		e := invalid([]Problem{{Pointer: "#/to", Code: "invalid_address", Detail: "A recipient's address is not valid. Check its spelling."}})
		return e
	}
	v, ok := verdictOf(r.Kind)
	switch {
	case ok:
	case r.Temporary():
		v = verdict{http.StatusServiceUnavailable, "unavailable", r.Problem + " " + r.Fix}
	default:
		v = verdict{http.StatusUnprocessableEntity, "validation_failed", r.Problem + " " + r.Fix}
	}
	e := &Error{Status: v.status, Code: v.code, Detail: v.detail, RetryAfter: r.RetryAfter}
	if r.Reference != "" {
		e.Detail += " Reference: " + r.Reference + "."
	}
	if e.RetryAfter == 0 && r.Kind == queue.RefusedFull {
		e.RetryAfter = fullWait
	}
	return e
}

func suppressedError(p *prepared) *Error {
	e := &Error{Status: http.StatusUnprocessableEntity, Code: "all_recipients_suppressed",
		Detail: "All recipients are on the suppression list, so that nothing would be sent. Remove those that may get mail again."}
	for _, t := range p.to {
		e.Suppressed = append(e.Suppressed, t.Address.String())
	}
	return e
}
