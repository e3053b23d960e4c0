package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/suppression"
)

func (s *Server) suppressionOperations(r *router) {
	const collection = "/v1/suppressions"
	register(r, operation{
		id: "list-suppressions", method: http.MethodGet, path: collection, scope: queue.ScopeSuppressionsRead, tag: tagSuppressions,
		summary: "List suppressions", description: "Addresses that are not sent to, by account and address.",
	}, s.listSuppressions)
	register(r, operation{
		id: "add-suppression", method: http.MethodPost, path: collection, scope: queue.ScopeSuppressionsWrite, tag: tagSuppressions,
		summary:     "Suppress an address",
		description: "It counts for every message that is accepted from now on. What is there already is never weakened: of two reasons the stronger stays.",
	}, s.addSuppression)
	register(r, operation{
		id: "batch-suppressions", method: http.MethodPost, path: collection + "/batch", scope: queue.ScopeSuppressionsWrite, tag: tagSuppressions,
		summary: "Add and remove many", description: "Each by itself: what cannot be done is named, the rest is done.",
	}, s.batchSuppressions)
	register(r, operation{
		id: "check-suppressions", method: http.MethodPost, path: collection + "/check", scope: queue.ScopeSuppressionsRead, tag: tagSuppressions,
		summary: "Ask which addresses are not sent to", description: "Heeds what is suppressed for the account, for everybody, and for the scopes that are named.",
	}, s.checkSuppressions)
	register(r, operation{
		id: "delete-suppression", method: http.MethodDelete, path: collection + "/{id}", status: http.StatusNoContent, scope: queue.ScopeSuppressionsWrite, tag: tagSuppressions,
		summary: "Remove a suppression", description: "By its id or by an address, then of all scopes or of the one that is named. Think twice before you send again to people who complained.",
	}, s.deleteSuppression)
	intake := operation{
		id: "import-suppressions", method: http.MethodPost, path: collection + "/import", scope: queue.ScopeSuppressionsWrite, tag: tagSuppressions, maxBody: s.o.MaxRequest,
		summary:     "Import a list",
		description: "CSV with a heading (`email`, `reason`, `scope`, `note`, `source`, `created_at`, `expires_at`), or with just these columns in this order, or NDJSON. Lists that other providers export are understood. Lines that are no good are named, the rest is taken.",
	}
	plain[importInput, v1.ImportResult](r, intake, "text/csv", "application/json", s.importSuppressions)
	lists := described(r.api.OpenAPI(), intake.method, intake.path).RequestBody.Content
	lists["application/x-ndjson"] = lists["text/csv"]
	plain[exportInput, struct{}](r, operation{
		id: "export-suppressions", method: http.MethodGet, path: collection + "/export", scope: queue.ScopeSuppressionsRead, tag: tagSuppressions,
		summary: "Export the list", description: "Streamed, since it may be of any length; NDJSON (`application/x-ndjson`) if the parameter format says so. An answer that breaks off is not complete.",
	}, "", "text/csv", s.exportSuppressions)
}

func suppressionOf(e suppression.Entry) v1.Suppression {
	return v1.Suppression{
		ID: e.ID(), Account: e.Account, Email: e.Address.String(), Scope: e.Scope, Reason: string(e.Reason), Source: e.Source, Note: e.Note,
		CreatedAt: e.CreatedAt.UTC(), ExpiresAt: timeOf(e.ExpiresAt),
	}
}

type listSuppressionsInput struct {
	Account string `query:"account" maxLength:"128" doc:"Whose; for admins, who see all if they name none, and everybody's by *."`
	Email   string `query:"email" maxLength:"320"`
	Domain  string `query:"domain" maxLength:"255" doc:"Of the address."`
	Reason  string `query:"reason" enum:"bounce,complaint,unsubscribe,manual"`
	Scope   string `query:"scope" maxLength:"128" doc:"A stream or a list; * for what concerns all mail."`
	Limit   int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at the most."`
	Cursor  string `query:"cursor" maxLength:"2048" doc:"From next_cursor."`
}

func (s *Server) listSuppressions(ctx context.Context, in *listSuppressionsInput) (*answer[v1.SuppressionList], error) {
	of, err := account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	f := suppression.Filter{Domain: in.Domain, Reason: suppression.Reason(in.Reason), Scope: in.Scope}
	if in.Email != "" {
		if f.Address, err = queue.ParseAddress(in.Email); err != nil {
			return nil, err
		}
	}
	asked := []any{"suppressions", of, f}
	at, wrong := cursorOf(ctx, in.Cursor, asked)
	if wrong != nil {
		return nil, wrong
	}
	entries, next, err := s.o.Suppressions.List(ctx, of, f, at, in.Limit)
	if err != nil {
		return nil, suppressionError(err)
	}
	list := v1.SuppressionList{Data: make([]v1.Suppression, 0, len(entries)), HasMore: next != "", NextCursor: cursorText(ctx, next, asked)}
	for _, e := range entries {
		list.Data = append(list.Data, suppressionOf(e))
	}
	return answerOf(list), nil
}

// suppressionError marks what the caller can mend.
func suppressionError(err error) error {
	if errors.Is(err, suppression.ErrInvalid) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return err
}

type addSuppressionInput struct {
	Suppression jsonBody[v1.NewSuppression]
}

func (s *Server) addSuppression(ctx context.Context, in *addSuppressionInput) (*answer[v1.Suppression], error) {
	e, _, err := s.suppress(ctx, in.Suppression.Value)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("address suppressed", "account", e.Account, "reason", string(e.Reason), "scope", e.Scope, "actor", actor(ctx))
	return answerOf(suppressionOf(e)), nil
}

// suppress adds one entry for a caller.
func (s *Server) suppress(ctx context.Context, n v1.NewSuppression) (e suppression.Entry, added bool, err error) {
	e = suppression.Entry{
		Scope: n.Scope, Reason: suppression.Reason(n.Reason), Source: n.Source, Note: n.Note,
		CreatedAt: valueOf(n.CreatedAt), ExpiresAt: valueOf(n.ExpiresAt),
	}
	if e.Reason == "" {
		e.Reason = suppression.Manual
	}
	if e.Account, err = mineOrAll(ctx, n.Account); err != nil {
		return e, false, err
	}
	if e.Address, err = queue.ParseAddress(strings.TrimSpace(n.Email)); err != nil {
		return e, false, err
	}
	e, added, err = s.o.Suppressions.Add(ctx, e)
	return e, added, suppressionError(err)
}

type deleteSuppressionInput struct {
	ID      string `path:"id" maxLength:"1024" doc:"An id (sup_…) or an address."`
	Scope   string `query:"scope" maxLength:"128" doc:"With an address: only of this scope."`
	Account string `query:"account" maxLength:"128" doc:"With an address: whose; for admins."`
}

func (s *Server) deleteSuppression(ctx context.Context, in *deleteSuppressionInput) (*nothing, error) {
	w := v1.SuppressionRemove{ID: in.ID}
	if strings.Contains(in.ID, "@") {
		w = v1.SuppressionRemove{Email: in.ID, Scope: in.Scope, Account: in.Account}
	}
	if _, err := s.unsuppress(ctx, w); err != nil {
		return nil, err
	}
	return nil, nil
}

// unsuppress removes entries for a caller and returns how many.
func (s *Server) unsuppress(ctx context.Context, w v1.SuppressionRemove) (int, error) {
	of, a, scope, err := s.named(ctx, w)
	if err != nil {
		return 0, err
	}
	removed, err := s.o.Suppressions.Remove(ctx, of, a, scope)
	if err != nil {
		return 0, suppressionError(err)
	}
	for _, e := range removed {
		s.o.Logger.Info("suppression removed", "account", e.Account, "reason", string(e.Reason), "scope", e.Scope, "actor", actor(ctx))
	}
	return len(removed), nil
}

// named finds out which entries are meant, if the caller may change them.
func (s *Server) named(ctx context.Context, w v1.SuppressionRemove) (of string, a queue.Address, scope string, err error) {
	if w.ID != "" {
		of, a, scope, err = suppression.ParseID(w.ID)
		if err != nil || !owns(ctx, of) {
			return "", a, "", queue.ErrNotFound
		}
		return of, a, scope, nil
	}
	if of, err = mineOrAll(ctx, w.Account); err != nil {
		return "", a, "", err
	}
	a, err = queue.ParseAddress(strings.TrimSpace(w.Email))
	return of, a, w.Scope, err
}

type batchSuppressionsInput struct {
	Batch jsonBody[v1.SuppressionBatch]
}

func (s *Server) batchSuppressions(ctx context.Context, in *batchSuppressionsInput) (*answer[v1.SuppressionBatchResult], error) {
	b := in.Batch.Value
	out := v1.SuppressionBatchResult{Errors: []v1.FieldError{}}
	for i, n := range b.Add {
		_, added, err := s.suppress(ctx, n)
		switch {
		case err == nil && added:
			out.Added++
		case err == nil:
			out.Updated++
		default:
			e, told := s.entryError(err)
			if !told {
				return nil, err
			}
			e.Pointer = "#/add/" + strconv.Itoa(i)
			out.Errors = append(out.Errors, e)
		}
	}
	for i, w := range b.Remove {
		n, err := s.unsuppress(ctx, w)
		if err != nil {
			e, told := s.entryError(err)
			if !told {
				return nil, err
			}
			e.Pointer = "#/remove/" + strconv.Itoa(i)
			out.Errors = append(out.Errors, e)
		}
		out.Removed += n
	}
	return answerOf(out), nil
}

// entryError says what is wrong with one entry of many; told is false for our own
// trouble, which ends them all.
func (s *Server) entryError(err error) (e v1.FieldError, told bool) {
	switch {
	case errors.Is(err, queue.ErrAddress):
		return v1.FieldError{Code: "invalid_address", Detail: "That is not a valid mail address: " + addressTrouble(err) + "."}, true
	case errors.Is(err, suppression.ErrInvalid):
		return v1.FieldError{Code: "invalid", Detail: err.Error()}, true
	case errors.Is(err, queue.ErrNotFound):
		return v1.FieldError{Code: "not_found", Detail: "It is not on the list, or is another account's."}, true
	}
	return e, false
}

type checkSuppressionsInput struct {
	Query jsonBody[v1.SuppressionQuery]
}

func (s *Server) checkSuppressions(ctx context.Context, in *checkSuppressionsInput) (*answer[v1.SuppressionAnswers], error) {
	q := in.Query.Value
	of, err := mineOrAll(ctx, q.Account)
	if err != nil {
		return nil, err
	}
	out := v1.SuppressionAnswers{Data: make([]v1.SuppressionAnswer, len(q.Emails))}
	var addrs []queue.Address
	var places []int
	for i, text := range q.Emails {
		out.Data[i].Email = text
		a, err := queue.ParseAddress(strings.TrimSpace(text))
		if err != nil {
			out.Data[i].Error = "Not a valid mail address: " + addressTrouble(err) + "."
			continue
		}
		addrs, places = append(addrs, a), append(places, i)
	}
	hits, err := s.o.Suppressions.Check(ctx, of, q.Scopes, addrs, s.o.Now())
	if err != nil {
		return nil, err
	}
	for i, e := range hits {
		v := suppressionOf(e)
		out.Data[places[i]].Suppressed, out.Data[places[i]].Suppression = true, &v
	}
	return answerOf(out), nil
}

type importInput struct {
	Account string `query:"account" maxLength:"128" doc:"Whose mail it concerns; absent: the caller's. For admins."`
}

type exportInput struct {
	Format  string `query:"format" enum:"csv,ndjson" doc:"csv if absent."`
	Account string `query:"account" maxLength:"128" doc:"Whose; for admins, who get all if they name none."`
	Reason  string `query:"reason" enum:"bounce,complaint,unsubscribe,manual"`
	Scope   string `query:"scope" maxLength:"128" doc:"A stream or a list; * for what concerns all mail."`
}
