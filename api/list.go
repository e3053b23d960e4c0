package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"postrider/api/access"
	v1 "postrider/api/v1"
	"postrider/queue"
)

type listInput struct {
	ID         []string          `query:"id,explode" maxItems:"200" doc:"Of messages or recipients."`
	Account    string            `query:"account" maxLength:"256" doc:"For admins: all accounts if absent."`
	State      []string          `query:"state,explode" enum:"queued,active,deferred,held,scheduled,delivered,relayed,bounced,expired,cancelled,suppressed" maxItems:"11" doc:"Of a recipient; any of them."`
	Status     []string          `query:"status,explode" enum:"queued,active,deferred,held,scheduled,delivered,relayed,bounced,expired,cancelled,suppressed" maxItems:"11" doc:"The same as state."`
	Recipient  string            `query:"recipient" maxLength:"320" doc:"An address."`
	Domain     string            `query:"domain" maxLength:"255" doc:"Of a recipient."`
	RcptDomain string            `query:"recipient_domain" maxLength:"255" doc:"The same as domain."`
	Sender     string            `query:"sender" maxLength:"320" doc:"Of the envelope: an address, or @ and a domain."`
	From       string            `query:"from" maxLength:"320" doc:"The author: an address, or @ and a domain."`
	Subject    string            `query:"subject" maxLength:"256" doc:"A part of it, in any letter case."`
	MessageID  string            `query:"message_id" maxLength:"300" doc:"The Message-ID header field, with or without angle brackets."`
	Class      string            `query:"class" maxLength:"64" doc:"Of the last trouble."`
	Stream     string            `query:"stream" maxLength:"64"`
	Tag        string            `query:"tag" maxLength:"128"`
	Metadata   map[string]string `query:"metadata,deepObject" doc:"As metadata[name]=value; all must match."`
	Key        string            `query:"key_id" maxLength:"128" doc:"The key that handed it in."`
	Since      time.Time         `query:"since" doc:"Accepted at this time or later."`
	Until      time.Time         `query:"until" doc:"Accepted before this time."`
	After      time.Time         `query:"created_after" doc:"The same as since."`
	Before     time.Time         `query:"created_before" doc:"The same as until."`
	Limit      int               `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor     string            `query:"cursor" maxLength:"2048" doc:"next_cursor of the page before, with the same filter."`
}

func (s *Server) listMessages(ctx context.Context, in *listInput) (*answer[v1.MessageList], error) {
	vf, f := in.filter()
	if f != nil {
		return nil, f
	}
	var err error
	if vf.Account, err = account(ctx, in.Account); err != nil {
		return nil, err
	}
	filter, err := filterOf(vf)
	if err != nil {
		return nil, err
	}
	at, f := cursorOf(ctx, in.Cursor, vf)
	if f != nil {
		return nil, f
	}
	entries, next, err := s.o.Store.List(ctx, filter, at, in.Limit)
	if err != nil {
		return nil, err
	}
	list := v1.MessageList{Data: make([]v1.Message, 0, len(entries)), NextCursor: cursorText(ctx, next, vf), HasMore: next != ""}
	for _, e := range entries {
		list.Data = append(list.Data, messageOf(e))
	}
	return answerOf(list), nil
}

// filter joins what can be said in two ways.
func (in *listInput) filter() (v1.Filter, *failure) {
	f := refusal(http.StatusUnprocessableEntity, "validation_failed", "The request is not as it must be: see errors.")
	q := query{f: f}
	since := either(q, "created_after", in.Since, in.After)
	until := either(q, "created_before", in.Until, in.Before)
	v := v1.Filter{
		IDs: in.ID, States: append(append([]string(nil), in.State...), in.Status...), Recipient: in.Recipient, Sender: in.Sender, Class: in.Class,
		Domain: either(q, "recipient_domain", in.Domain, in.RcptDomain), From: in.From, Subject: in.Subject, MessageID: in.MessageID,
		Stream: in.Stream, Tag: in.Tag, Metadata: in.Metadata, Key: in.Key,
	}
	if !since.IsZero() {
		v.Since = &since
	}
	if !until.IsZero() {
		v.Until = &until
	}
	if len(f.problem.Errors) > 0 {
		return v, f
	}
	return v, nil
}

func either[T comparable](q query, name string, a, b T) T {
	var none T
	if a == none {
		return b
	}
	if b != none && a != b {
		q.add(name, "conflict", "This and its other name are given, and differ.")
	}
	return a
}

// page is what a cursor of a listing holds. It is opaque to callers; what it is
// changed to leads nowhere that its caller may not go.
type page struct {
	Version int    `json:"v"`
	Key     string `json:"k"`
	Hash    []byte `json:"h"`
}

// filterHash ties a cursor to its filter and to whose things are listed.
func filterHash(ctx context.Context, f any) []byte {
	text, err := json.Marshal(f)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(append(text, access.From(ctx).Account...))
	return sum[:8]
}

// cursorText writes a store's cursor for a caller; "" at the end.
func cursorText(ctx context.Context, c queue.Cursor, filter any) string {
	if c == "" {
		return ""
	}
	text, err := json.Marshal(page{Version: 1, Key: base64.RawStdEncoding.EncodeToString([]byte(c)), Hash: filterHash(ctx, filter)})
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// cursorOf reads what cursorText has written for the same filter.
func cursorOf(ctx context.Context, text string, filter any) (queue.Cursor, *failure) {
	if text == "" {
		return "", nil
	}
	wrong := refusal(http.StatusBadRequest, "invalid_cursor", "The cursor is not one of this listing with this filter. Start again without it.")
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil {
		return "", wrong
	}
	var p page
	if err := json.Unmarshal(b, &p); err != nil || p.Version != 1 || string(p.Hash) != string(filterHash(ctx, filter)) {
		return "", wrong
	}
	key, err := base64.RawStdEncoding.DecodeString(p.Key)
	if err != nil || len(key) == 0 {
		return "", wrong
	}
	return queue.Cursor(key), nil
}
