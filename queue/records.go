package queue

import (
	"context"
	"fmt"
	"iter"
)

// recordPage is how many records are asked for at once.
const recordPage = 200

// Records lists all records of a kind whose names begin with prefix, by name, page
// by page. It ends with the first error, beside which the record is empty.
func Records(ctx context.Context, r Registry, kind RecordKind, prefix string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for after := ""; ; {
			page, err := r.ListRecords(ctx, kind, prefix, after, recordPage)
			if err != nil {
				yield(Record{}, fmt.Errorf("list %s records: %w", kind, err))
				return
			}
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
				after = rec.Name
			}
			if len(page) < recordPage {
				return
			}
		}
	}
}
