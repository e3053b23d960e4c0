package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"postrider/api/listfile"
	v1 "postrider/api/v1"
)

// SuppressionFilter selects suppressions; all that is set must match.
type SuppressionFilter struct{ Account, Email, Domain, Reason, Scope string }

// Suppressions lists up to limit suppressions.
func (c *Client) Suppressions(ctx context.Context, f SuppressionFilter, cursor string, limit int) (v1.SuppressionList, error) {
	return get[v1.SuppressionList](ctx, c, "/v1/suppressions", queryOf(
		"account", f.Account, "email", f.Email, "domain", f.Domain, "reason", f.Reason, "scope", f.Scope, "cursor", cursor, "limit", limitText(limit)))
}

// Suppress puts an address on the list.
func (c *Client) Suppress(ctx context.Context, n v1.NewSuppression) (v1.Suppression, error) {
	return post[v1.Suppression](ctx, c, "/v1/suppressions", n)
}

// Unsuppress takes what r names off the list.
func (c *Client) Unsuppress(ctx context.Context, r v1.SuppressionRemove) error {
	if r.ID != "" {
		return c.remove(ctx, join("suppressions", r.ID), nil)
	}
	return c.remove(ctx, join("suppressions", r.Email), queryOf("scope", r.Scope, "account", r.Account))
}

// BatchSuppressions adds and removes many.
func (c *Client) BatchSuppressions(ctx context.Context, b v1.SuppressionBatch) (v1.SuppressionBatchResult, error) {
	return post[v1.SuppressionBatchResult](ctx, c, "/v1/suppressions/batch", b)
}

// CheckSuppressions asks which addresses are not sent to.
func (c *Client) CheckSuppressions(ctx context.Context, q v1.SuppressionQuery) (v1.SuppressionAnswers, error) {
	return post[v1.SuppressionAnswers](ctx, c, "/v1/suppressions/check", q)
}

// ExportSuppressions copies the list to w as it comes.
func (c *Client) ExportSuppressions(ctx context.Context, w io.Writer, format listfile.Format, f SuppressionFilter) error {
	res, err := c.send(ctx, call{
		method: http.MethodGet, path: "/v1/suppressions/export", long: true,
		query: queryOf("format", string(format), "account", f.Account, "reason", f.Reason, "scope", f.Scope),
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("copy the list: it is not complete: %w", err)
	}
	return nil
}

// importChunk is how many entries one request takes to the relay, so that a long
// list needs no long request, and its reader is told how far it is.
const importChunk = 1000

// ImportSuppressions reads a list in, part by part, for an account; empty: the
// caller's. progress, if not nil, is called after each part. What was read in
// before an error stays; reading the list in again does no harm.
func (c *Client) ImportSuppressions(ctx context.Context, list io.Reader, format listfile.Format, account string, progress func(v1.ImportResult)) (v1.ImportResult, error) {
	im := &importing{c: c, account: account, result: v1.ImportResult{Errors: []v1.ImportError{}}, progress: progress}
	in := listfile.NewReader(list, format)
	for {
		entry, line, err := in.Next()
		var bad *listfile.LineError
		switch {
		case errors.Is(err, io.EOF):
			return im.result, im.flush(ctx)
		case errors.As(err, &bad):
			im.refuse(v1.ImportError{Line: bad.Line, Code: bad.Code, Detail: bad.Detail})
		case err != nil:
			return im.result, fmt.Errorf("read the list: %w", err)
		default:
			if err := im.add(ctx, entry, line); err != nil {
				return im.result, err
			}
		}
	}
}

// importing is a list on its way.
type importing struct {
	c        *Client
	account  string
	part     bytes.Buffer
	lines    []int // in the list, of the entries of the part
	result   v1.ImportResult
	progress func(v1.ImportResult)
}

const maxImportErrors = 100

func (im *importing) refuse(e v1.ImportError) {
	im.result.Lines++
	im.result.Failed++
	im.note(e)
}

func (im *importing) note(e v1.ImportError) {
	if len(im.result.Errors) < maxImportErrors {
		im.result.Errors = append(im.result.Errors, e)
	}
}

func (im *importing) add(ctx context.Context, entry v1.NewSuppression, line int) error {
	if err := json.NewEncoder(&im.part).Encode(entry); err != nil {
		return fmt.Errorf("write line %d: %w", line, err)
	}
	if im.lines = append(im.lines, line); len(im.lines) < importChunk {
		return nil
	}
	return im.flush(ctx)
}

func (im *importing) flush(ctx context.Context) error {
	if len(im.lines) == 0 {
		return nil
	}
	var r v1.ImportResult
	err := im.c.do(ctx, call{
		method: http.MethodPost, path: "/v1/suppressions/import", query: queryOf("account", im.account), long: true,
		header: http.Header{"Content-Type": {"application/x-ndjson"}}, body: bytes.NewReader(im.part.Bytes()),
	}, &r)
	if err != nil {
		return fmt.Errorf("after line %d of the list: %w", im.lines[0]-1, err)
	}
	im.result.Lines += r.Lines
	im.result.Added += r.Added
	im.result.Updated += r.Updated
	im.result.Failed += r.Failed
	for _, e := range r.Errors {
		if e.Line >= 1 && e.Line <= len(im.lines) {
			e.Line = im.lines[e.Line-1]
		}
		im.note(e)
	}
	im.part.Reset()
	im.lines = im.lines[:0]
	if im.progress != nil {
		im.progress(im.result)
	}
	return nil
}
