package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"postrider/queue"
)

const (
	// pageBytes is what a page should have; how many items it has follows from
	// the pages before.
	pageBytes = 8 << 20
	pageLeast = 16
	pageMost  = 1000
	pageFirst = 64
	// itemBytes is what an item counts without its content.
	itemBytes = 500

	// fetchBytes is up to which size contents are read ahead, and fetchers how
	// many at once: a store at the other end of a network takes its time.
	fetchBytes = 64 << 10
	fetchers   = 8
)

// page is some items of a source.
type page struct {
	from  queue.Cursor
	items []fetched
	next  queue.Cursor // empty at the end
}

// fetched is an item with its content, unless that is large.
type fetched struct {
	item queue.Item
	body []byte
	size int64
}

func (f *fetched) hasContent() bool {
	return f.item.Message != nil && len(f.item.Message.Entry.Message.Content.Key) > 0
}

func (f *fetched) isLarge() bool { return f.size > fetchBytes }

// writeTo writes the content.
func (f *fetched) writeTo(ctx context.Context, src Source, w io.Writer) error {
	if !f.isLarge() {
		_, err := w.Write(f.body)
		return err
	}
	c, err := src.OpenContent(ctx, f.item.Message.Entry.Message.Content)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(&reader{ctx, c}, f.size+1))
	if err == nil && n != f.size {
		err = fmt.Errorf("it has %d octets, and should have %d", n, f.size)
	}
	return errors.Join(err, c.Close())
}

// reader ends with its context.
type reader struct {
	ctx context.Context // of one call
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// walk visits the pages of a source, while the next one is read.
func walk(ctx context.Context, src Source, from queue.Cursor, visit func(context.Context, page) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pages := make(chan page)
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(pages)
		failed = readPages(ctx, src, from, pages)
	})
	defer wg.Wait()
	defer cancel()
	for p := range pages {
		if err := visit(ctx, p); err != nil {
			return err
		}
	}
	wg.Wait()
	return failed
}

func readPages(ctx context.Context, src Source, c queue.Cursor, pages chan<- page) error {
	limit := pageFirst
	for {
		items, next, err := src.Export(ctx, c, limit)
		if err != nil {
			return err
		}
		p := page{from: c, items: make([]fetched, 0, len(items)), next: next}
		for i := range items {
			if travels(&items[i]) {
				p.items = append(p.items, fetched{item: items[i]})
			}
		}
		if err := fetch(ctx, src, p.items); err != nil {
			return err
		}
		select {
		case pages <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
		if next == "" {
			return nil
		}
		if len(items) > 0 {
			limit = min(max(int(pageBytes*int64(len(items))/max(p.bytes(), itemBytes)), pageLeast), pageMost)
		}
		c = next
	}
}

// travels reports whether an item is moved. Folders are filed anew where the queue
// comes to, and so how far they were filed must stay behind.
func travels(it *queue.Item) bool {
	return it.Reader == nil || it.Reader.Name != queue.ReaderFolders
}

func (p *page) bytes() int64 {
	n := int64(0)
	for i := range p.items {
		n += itemBytes + p.items[i].size
		if m := p.items[i].item.Message; m != nil {
			n += itemBytes * int64(len(m.Entry.Recipients))
		}
	}
	return n
}

// fetch reads the contents, some at once.
func fetch(ctx context.Context, src Source, items []fetched) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	slots := make(chan struct{}, fetchers)
	for i := range items {
		if !items[i].hasContent() {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			err := items[i].fetch(ctx, src)
			if err != nil {
				err = fmt.Errorf("content of %s: %w", name(&items[i].item), err)
			}
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	return failed
}

func (f *fetched) fetch(ctx context.Context, src Source) error {
	c, err := src.OpenContent(ctx, f.item.Message.Entry.Message.Content)
	if err != nil {
		return err
	}
	if f.size = c.Size(); !f.isLarge() {
		f.body = make([]byte, f.size)
		_, err = io.ReadFull(c, f.body)
	}
	return errors.Join(err, c.Close())
}

// digest reads the content once more, or what was read of it.
func (f *fetched) digest(ctx context.Context, src Source) (*contentDigest, error) {
	if !f.hasContent() {
		return nil, nil
	}
	h := sha256.New()
	if err := f.writeTo(ctx, src, h); err != nil {
		return nil, fmt.Errorf("content of %s: %w", name(&f.item), err)
	}
	return &contentDigest{[sha256.Size]byte(h.Sum(nil)), f.size}, nil
}
