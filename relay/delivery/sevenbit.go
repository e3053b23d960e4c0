package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"

	"postrider/dkim"
	"postrider/relay/outbound"
	"postrider/relay/sevenbit"
)

// sevenBit returns how the run's message is sent to a server without 8BITMIME, if
// that can be done: text parts encoded, and signed as they are then. Such servers
// are rare, so nothing of it is kept.
func (d *Dispatcher) sevenBit(r *run) func(context.Context) (outbound.Form, bool, error) {
	m := &r.lease.Message
	return func(ctx context.Context) (outbound.Form, bool, error) {
		plan, err := d.scan(r)
		if err != nil || !plan.Possible() {
			return outbound.Form{}, false, err
		}
		f := outbound.Form{Open: func() (io.ReadCloser, error) {
			content, err := d.o.Store.OpenContent(context.Background(), m.Content)
			if err != nil {
				return nil, err
			}
			return converted{sevenbit.NewReader(content, plan), content}, nil
		}}
		if f.Prefix, f.Size, err = d.signConverted(ctx, r, f.Open); err != nil {
			return outbound.Form{}, false, err
		}
		f.Size += int64(len(f.Prefix))
		return f, true, nil
	}
}

func (d *Dispatcher) scan(r *run) (*sevenbit.Plan, error) {
	content, err := d.o.Store.OpenContent(context.Background(), r.lease.Message.Content)
	if err != nil {
		return nil, fmt.Errorf("open content: %w", err)
	}
	defer content.Close()
	return sevenbit.Scan(content)
}

// converted reads a content through its conversion.
type converted struct {
	io.Reader
	io.Closer
}

// signConverted signs what open opens, as sign does, and counts its octets.
func (d *Dispatcher) signConverted(ctx context.Context, r *run, open func() (io.ReadCloser, error)) (prefix []byte, size int64, err error) {
	content, err := open()
	if err != nil {
		return nil, 0, fmt.Errorf("open content: %w", err)
	}
	defer content.Close()
	counted := &counter{r: content}
	if d.signatures != nil {
		sig, err := d.signatures.signer.Sign(ctx, dkim.SignRequest{FromDomain: r.lease.Message.Header.From.Domain, Message: counted, Now: r.start})
		if err != nil && !errors.Is(err, dkim.ErrNoKey) && !errors.Is(err, dkim.ErrMessage) {
			return nil, 0, fmt.Errorf("sign with DKIM: %w", err)
		}
		prefix = sig.Header
	}
	if _, err := io.Copy(io.Discard, counted); err != nil { // what the signer did not read
		return nil, 0, err
	}
	return prefix, counted.n, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
