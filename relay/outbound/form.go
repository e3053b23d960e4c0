package outbound

import (
	"context"
	"fmt"
	"io"
)

// Form is what the content of a Transaction looks like to a peer.
type Form struct {
	Prefix []byte // as in Transaction
	Size   int64  // of prefix and content
	Open   func() (io.ReadCloser, error)
}

// form is the content as the peer takes it: as it is, or without octets above 127
// where these are not offered (RFC 6152 §3) and the message can be converted.
func (d *delivery) form(ctx context.Context, s *session) (Form, error) {
	own := Form{Prefix: d.tx.Prefix, Size: d.tx.Size, Open: d.tx.Open}
	if !d.tx.Envelope.EightBit || s.caps.eightBit {
		return own, nil
	}
	if d.tx.SevenBit != nil {
		f, ok, err := d.tx.SevenBit(ctx)
		if err != nil {
			return own, fmt.Errorf("convert for a server without 8BITMIME: %w", err)
		}
		if ok {
			return f, nil
		}
	}
	d.res.EightBitUnoffered = true
	return own, nil
}
