package dkim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// DefaultLifetime is how long signatures are valid when Options do not say:
// longer than mail stays in queues, short enough that a copy cannot be replayed
// for ever.
const DefaultLifetime = 7 * 24 * time.Hour

// Options configure a Signer.
type Options struct {
	// Keyring chooses the keys. Required.
	Keyring *Keyring
	// Workers bounds how many messages are signed at once. 0 means GOMAXPROCS:
	// an RSA signature is a millisecond of a processor.
	Workers int
	// Lifetime is the time between t= and x=. 0 means DefaultLifetime, less
	// than 0 that signatures do not expire.
	Lifetime time.Duration
}

// A Signer signs messages. It is safe for concurrent use and has nothing to
// close.
type Signer struct {
	keyring  *Keyring
	lifetime time.Duration
	idle     chan *worker // one per signature that may be under way
}

// NewSigner returns a Signer. It panics without a Keyring.
func NewSigner(o Options) *Signer {
	if o.Keyring == nil {
		panic("dkim: Options without Keyring")
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	s := &Signer{keyring: o.Keyring, lifetime: o.Lifetime, idle: make(chan *worker, o.Workers)}
	for range o.Workers {
		s.idle <- &worker{body: bodyHash{sum: sha256.New()}}
	}
	return s
}

// A SignRequest is a message to sign.
type SignRequest struct {
	// FromDomain is the domain of the address in From. When empty it is taken
	// from the message; whoever knows it saves a parse and, when the key is
	// pending, the reading.
	FromDomain string
	// Message is the whole message, header first, lines ended by CRLF. It is
	// read once, to its end unless an error comes first.
	Message io.Reader
	// Now becomes t=. The zero time means time.Now().
	Now time.Time
}

// A Signature is what Sign found out about a message.
type Signature struct {
	// Header holds the DKIM-Signature fields, each ended by CRLF, to be put in
	// front of exactly the message that was read.
	Header []byte
	// KeyIDs names the keys used, as Key.ID does. When they are no longer
	// those that Keyring.Keys returns, the message wants signing again.
	KeyIDs []string
	// Expires is x=, zero if the signatures do not expire.
	Expires time.Time
}

// Sign signs the message with every key that the keyring has for its From
// domain. It waits, no longer than ctx, while Workers other messages are being
// signed.
//
// It returns ErrNoKey when the domain has no key and gets none; ErrKeyPending
// when one is being made, see Keyring.Wait; an error that wraps ErrMessage when
// this message cannot be signed; and otherwise what reading the message or the
// key store returned, or ctx.Err, which are worth another try.
func (s *Signer) Sign(ctx context.Context, req SignRequest) (Signature, error) {
	var keys []Key
	if req.FromDomain != "" {
		var err error
		if keys, err = s.keyring.Keys(ctx, req.FromDomain); err != nil {
			return Signature{}, err
		}
	}
	if err := ctx.Err(); err != nil { // select takes either of two that are ready
		return Signature{}, err
	}
	var w *worker
	select {
	case w = <-s.idle:
	case <-ctx.Done():
		return Signature{}, ctx.Err()
	}
	defer func() {
		w.trim()
		s.idle <- w
	}()
	if err := w.readHeader(req.Message); err != nil {
		return Signature{}, err
	}
	if req.FromDomain == "" {
		domain, err := fromDomain(w.fields)
		if err != nil {
			return Signature{}, err
		}
		if keys, err = s.keyring.Keys(ctx, domain); err != nil {
			return Signature{}, err
		}
	}
	if err := w.hashBody(ctx, req.Message); err != nil {
		return Signature{}, err
	}
	made := req.Now
	if made.IsZero() {
		made = time.Now()
	}
	var expires time.Time
	if s.lifetime > 0 {
		expires = made.Add(s.lifetime).Truncate(time.Second)
	}
	return w.sign(keys, made, expires)
}

// buffer is what a worker keeps between messages: room for all but the
// largest headers, and for reading bodies.
const buffer = 32 << 10

// A worker holds the memory for one signature at a time.
type worker struct {
	buf       []byte
	bodyStart int // octets of buf that are header
	fields    []field
	selected  selection
	body      bodyHash
	digest    []byte
	canon     []byte
}

// readHeader reads up to and including the end of the header and chooses what
// to sign.
func (w *worker) readHeader(r io.Reader) error {
	if w.buf == nil {
		w.buf = make([]byte, 0, buffer)
	}
	var err error
	w.fields, w.buf, w.bodyStart, err = scanHeader(r, w.buf, w.fields)
	if err != nil {
		return err
	}
	return w.selected.choose(w.fields)
}

// hashBody reads the rest of the message. The header in buf is overwritten.
func (w *worker) hashBody(ctx context.Context, r io.Reader) error {
	w.body.reset()
	if err := w.body.write(w.buf[w.bodyStart:]); err != nil {
		return err
	}
	block := w.buf[:cap(w.buf)]
	for {
		n, err := r.Read(block)
		if writeErr := w.body.write(block[:n]); writeErr != nil {
			return writeErr
		}
		switch {
		case errors.Is(err, io.EOF):
			w.digest, err = w.body.digest(w.digest[:0])
			return err
		case err != nil:
			return fmt.Errorf("read message: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// sign makes one field per key over what was read.
func (w *worker) sign(keys []Key, made, expires time.Time) (Signature, error) {
	out := Signature{KeyIDs: make([]string, 0, len(keys)), Expires: expires}
	tags := newStamp(w.selected.names, w.digest, made, expires)
	f := folder{b: make([]byte, 0, 1536*len(keys))}
	for _, k := range keys {
		start := len(f.b)
		unsignedField(&f, k, tags)
		// RFC 6376 §3.7: the signed fields, then this field with an empty b=
		// and without its line end.
		w.canon = appendRelaxed(append(w.canon[:0], w.selected.canon...), f.b[start:])
		digest := sha256.Sum256(w.canon)
		signature, err := k.signDigest(digest[:])
		if err != nil {
			return Signature{}, fmt.Errorf("sign with %s: %w", k.ID(), err)
		}
		signatureValue(&f, signature)
		out.KeyIDs = append(out.KeyIDs, k.ID())
	}
	out.Header = f.b
	return out, nil
}

// trim lets go of what an unusually large header needed.
func (w *worker) trim() {
	if cap(w.buf) <= buffer {
		return
	}
	*w = worker{body: w.body}
}
