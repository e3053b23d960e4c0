package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"postrider/api/content"
	v1 "postrider/api/v1"
	"postrider/queue"
)

func (s *Server) contentOperations(r *router) {
	register(r, operation{
		id: "get-content", method: http.MethodGet, path: "/v1/messages/{id}/content", scope: queue.ScopeMessagesContent, tag: tagMessages,
		summary: "Show what a message says", description: "Bodies hold password resets: their scope is apart from that of the rest.",
	}, s.getContent)
	plain[messageInput, struct{}](r, operation{
		id: "get-raw", method: http.MethodGet, path: "/v1/messages/{id}/raw", scope: queue.ScopeMessagesContent, tag: tagMessages,
		summary: "Get a message as it is stored",
	}, "", "message/rfc822", s.getRaw)
	plain[attachmentInput, struct{}](r, operation{
		id: "get-attachment", method: http.MethodGet, path: "/v1/messages/{id}/attachments/{index}", scope: queue.ScopeMessagesContent, tag: tagMessages,
		summary: "Get a file of a message", description: "With the content type that its sender gave it.",
	}, "", "*/*", s.getAttachment)
}

type attachmentInput struct {
	ID    string `path:"id" maxLength:"64" doc:"Of the message."`
	Index int    `path:"index" minimum:"0" maximum:"500" doc:"As in the message's content."`
}

func (s *Server) open(ctx context.Context, id string) (queue.Entry, queue.Content, error) {
	e, err := s.message(ctx, id)
	if err != nil {
		return e, nil, err
	}
	c, err := s.o.Store.OpenContent(ctx, e.Message.Content)
	if errors.Is(err, queue.ErrNotFound) {
		return e, nil, refusal(http.StatusNotFound, "not_found", "The content of this message is no longer kept.")
	}
	return e, c, err
}

func (s *Server) getContent(ctx context.Context, in *messageInput) (_ *answer[v1.Content], err error) {
	e, c, err := s.open(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	m, err := content.Read(c)
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	v := v1.Content{
		ID: e.Message.ID.String(), Text: m.Text, HTML: m.HTML, Truncated: m.Truncated,
		Headers: make([]v1.ContentHeader, 0, len(m.Fields)), Attachments: make([]v1.ContentPart, 0, len(m.Files)),
	}
	for _, f := range m.Fields {
		v.Headers = append(v.Headers, v1.ContentHeader{Name: f.Name, Value: f.Value})
	}
	for i, f := range m.Files {
		v.Attachments = append(v.Attachments, v1.ContentPart{
			Index: i, Filename: f.Filename, ContentType: f.ContentType, ContentID: f.ContentID, Inline: f.Inline, Size: f.Size,
		})
	}
	return answerOf(v), nil
}

func (s *Server) getRaw(w http.ResponseWriter, r *http.Request) {
	e, c, err := s.open(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "message/rfc822")
	w.Header().Set("Content-Length", strconv.FormatInt(c.Size(), 10))
	harmless(w.Header(), e.Message.ID.String()+".eml")
	_, err = io.Copy(w, c)
	s.copied(r, errors.Join(err, c.Close()))
}

// harmless lets a browser save what it gets, and do nothing else with it.
func harmless(h http.Header, filename string) {
	disposition := "attachment"
	if filename != "" {
		if d := mime.FormatMediaType("attachment", map[string]string{"filename": filename}); d != "" {
			disposition = d
		}
	}
	h.Set("Content-Disposition", disposition)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
}

// copied notes an answer that broke off: its status was sent already.
func (s *Server) copied(r *http.Request, err error) {
	if err == nil || r.Context().Err() != nil {
		return
	}
	s.o.Logger.Warn("answer broke off", "request", requestID(r.Context()), "error", err)
	panic(http.ErrAbortHandler)
}

func (s *Server) getAttachment(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(chi.URLParam(r, "index"))
	if err != nil || n < 0 || n > content.MaxParts {
		s.refuse(w, r, refusal(http.StatusNotFound, "not_found", "The message has no such file."))
		return
	}
	_, c, err := s.open(r.Context(), chi.URLParam(r, "id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	begun := false
	err = content.Copy(c, n, func(f content.File, octets io.Reader) error {
		begun = true
		w.Header().Set("Content-Type", safeType(f.ContentType))
		harmless(w.Header(), f.Filename)
		_, err := io.Copy(w, octets)
		return err
	})
	err = errors.Join(err, c.Close())
	switch {
	case begun:
		s.copied(r, err)
	case errors.Is(err, content.ErrNoFile):
		s.refuse(w, r, refusal(http.StatusNotFound, "not_found", "The message has no such file."))
	default:
		s.fail(w, r, err)
	}
}

// safeType is a media type that may stand in a header field.
func safeType(kind string) string {
	if main, sub, ok := strings.Cut(kind, "/"); ok && plainName(main) && plainName(strings.ReplaceAll(sub, "+", "-")) {
		return kind
	}
	return "application/octet-stream"
}
