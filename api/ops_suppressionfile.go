package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"

	"postrider/api/listfile"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/queue/suppression"
)

const (
	// importWorkers is how many entries are kept at a time: the store gathers
	// what comes together into one commit.
	importWorkers = 16
	// importErrors is how many bad lines are named.
	importErrors = 100
)

// importSuppressions reads a list as it comes.
func (s *Server) importSuppressions(w http.ResponseWriter, r *http.Request) {
	p := query{values: r.URL.Query(), f: invalidRequest()}
	p.known("account")
	asked := p.one("account")
	if len(p.f.problem.Errors) > 0 {
		s.refuse(w, r, p.f)
		return
	}
	format, ok := formatOf(r.Header.Get("Content-Type"))
	if !ok {
		s.refuse(w, r, refusal(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send the list as Content-Type: text/csv or application/x-ndjson, in UTF-8.").closing())
		return
	}
	of, err := mineOrAll(r.Context(), asked)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	result, err := s.importList(r.Context(), listfile.NewReader(r.Body, format), of)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.o.Logger.Info("suppressions imported", "account", of, "lines", result.Lines, "added", result.Added, "failed", result.Failed, "actor", actor(r.Context()))
	writeJSON(w, http.StatusOK, result)
}

func formatOf(contentType string) (listfile.Format, bool) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", false
	}
	switch kind {
	case "text/csv", "text/plain":
		return listfile.CSV, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return listfile.NDJSON, true
	}
	return "", false
}

// importer keeps the entries of a list.
type importer struct {
	s  *Server
	of string

	mu     sync.Mutex
	result v1.ImportResult
	err    error // our own trouble, which ends it
}

type importRow struct {
	entry v1.NewSuppression
	line  int
}

// importList reads a list to its end; an entry that names no account is of.
func (s *Server) importList(ctx context.Context, list *listfile.Reader, of string) (v1.ImportResult, error) {
	im := &importer{s: s, of: of, result: v1.ImportResult{Errors: []v1.ImportError{}}}
	rows := make(chan importRow)
	var workers sync.WaitGroup
	for range importWorkers {
		workers.Go(func() {
			for row := range rows {
				im.keep(ctx, row)
			}
		})
	}
	err := im.read(list, rows)
	close(rows)
	workers.Wait()
	if err == nil {
		err = im.err
	}
	slices.SortFunc(im.result.Errors, func(a, b v1.ImportError) int { return cmp.Compare(a.Line, b.Line) })
	return im.result, err
}

func (im *importer) read(list *listfile.Reader, rows chan<- importRow) error {
	for {
		entry, line, err := list.Next()
		var bad *listfile.LineError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			im.note(bad.Line, v1.FieldError{Code: bad.Code, Detail: bad.Detail})
			continue
		case err != nil:
			return bodyFailure(err)
		}
		if im.broken() {
			return nil
		}
		rows <- importRow{entry, line}
	}
}

func (im *importer) broken() bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.err != nil
}

func (im *importer) keep(ctx context.Context, row importRow) {
	if im.broken() {
		return
	}
	if row.entry.Account == "" {
		row.entry.Account = im.of
	}
	_, added, err := im.s.suppress(ctx, row.entry)
	if err != nil {
		e, told := im.s.entryError(err)
		if !told {
			im.mu.Lock()
			im.err = err
			im.mu.Unlock()
			return
		}
		im.note(row.line, e)
		return
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.result.Lines++
	if added {
		im.result.Added++
	} else {
		im.result.Updated++
	}
}

func (im *importer) note(line int, e v1.FieldError) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.result.Lines++
	im.result.Failed++
	if len(im.result.Errors) < importErrors {
		im.result.Errors = append(im.result.Errors, v1.ImportError{Line: line, Code: e.Code, Detail: e.Detail})
	}
}

var kinds = map[listfile.Format]string{listfile.CSV: "text/csv; charset=utf-8", listfile.NDJSON: "application/x-ndjson"}

// exportSuppressions writes the list page by page.
func (s *Server) exportSuppressions(w http.ResponseWriter, r *http.Request) {
	p := query{values: r.URL.Query(), f: invalidRequest()}
	p.known("format", "account", "reason", "scope")
	format, asked := listfile.Format(p.one("format")), p.one("account")
	f := suppression.Filter{Reason: suppression.Reason(p.one("reason")), Scope: p.one("scope")}
	kind := kinds[cmp.Or(format, listfile.CSV)]
	if kind == "" {
		p.add("format", "not_one_of", "Want csv or ndjson.")
	}
	if f.Reason != "" && !f.Reason.Valid() {
		p.add("reason", "not_one_of", "Want bounce, complaint, unsubscribe or manual.")
	}
	if len(p.f.problem.Errors) > 0 {
		s.refuse(w, r, p.f)
		return
	}
	of, err := account(r.Context(), asked)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	first, next, err := s.o.Suppressions.List(r.Context(), of, f, "", maxPage)
	if err != nil {
		s.fail(w, r, suppressionError(err))
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="suppressions.`+string(cmp.Or(format, listfile.CSV))+`"`)
	if err := s.export(r.Context(), w, format, of, f, first, next); err != nil {
		// The answer has begun: only its end can say that something is missing.
		s.o.Logger.Warn("export of suppressions broken off", "request", requestID(r.Context()), "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) export(ctx context.Context, w io.Writer, format listfile.Format, of string, f suppression.Filter, entries []suppression.Entry, next queue.Cursor) error {
	out, err := listfile.NewWriter(w, format)
	if err != nil {
		return err
	}
	for {
		for _, e := range entries {
			if err := out.Write(suppressionOf(e)); err != nil {
				return err
			}
		}
		if next == "" {
			return out.Flush()
		}
		if entries, next, err = s.o.Suppressions.List(ctx, of, f, next, maxPage); err != nil {
			return err
		}
	}
}
