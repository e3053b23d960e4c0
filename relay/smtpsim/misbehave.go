package smtpsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"time"
)

// Raw sends bytes as they are: garbage, mixed codes, missing CRLF.
func Raw(bytes string) Action {
	b := []byte(bytes)
	return func(_ context.Context, x *Exchange) error { return x.Write(b) }
}

// MixedCodes sends a reply of which the continuation lines and the last line
// differ in code.
func MixedCodes(first, last int) Action {
	return Raw(fmt.Sprintf("%03d-first\r\n%03d last\r\n", first, last))
}

// Garbage sends n bytes that are no SMTP, always the same, with NUL, 8-bit
// and line ends among them.
func Garbage(n int) Action {
	b := make([]byte, n)
	state := uint32(2463534242)
	for i := range b {
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		b[i] = byte(state)
	}
	return Raw(string(b))
}

// OverlongReply sends one reply line with n bytes of text.
func OverlongReply(code, n int) Action {
	return Reply(code, "", string(bytes.Repeat([]byte{'x'}, n)))
}

// EndlessReply sends continuation lines until the client is gone.
func EndlessReply(code int) Action {
	block := bytes.Repeat(fmt.Appendf(nil, "%03d-and more\r\n", code), 64)
	return func(ctx context.Context, x *Exchange) error {
		x.code = code
		for ctx.Err() == nil {
			if err := x.c.write(block); err != nil {
				return err
			}
			if err := x.c.flush(); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
}

// Stall does nothing until the client closes the connection or the Server is
// closed. At Body it does not read either, so that the client's window fills.
func Stall() Action {
	return func(ctx context.Context, x *Exchange) error {
		if err := x.Flush(); err != nil {
			return err
		}
		x.c.awaitClose(ctx, x.Stage != Body)
		return errHangUp
	}
}

// Trickle makes all writes of the connection from here on go out byte by
// byte, with a pause before each (0 for none). If it comes before a handshake,
// that goes out so too.
func Trickle(pause time.Duration) Action {
	return func(_ context.Context, x *Exchange) error {
		x.c.trickle, x.c.tricklePause = true, pause
		return nil
	}
}

// SlowRead makes all reads of the connection from here on take at most chunk
// bytes at a time, with a pause before each; those of a handshake too.
func SlowRead(chunk int, pause time.Duration) Action {
	return func(_ context.Context, x *Exchange) error {
		x.c.readChunk, x.c.readPause = chunk, pause
		return nil
	}
}

// HandshakeWith, at StartTLSVerb, goes on with the TLS handshake by another
// configuration: another certificate, other versions, a failing callback.
func HandshakeWith(cfg *tls.Config) Action {
	return func(_ context.Context, x *Exchange) error {
		x.c.nextTLS = cfg
		return x.Accept()
	}
}

// ExpiredCertificate, at StartTLSVerb, handshakes with a certificate that was
// good for the Server's names until a day ago. It is issued by the same
// authority as the Server's own.
func ExpiredCertificate() Action {
	return func(_ context.Context, x *Exchange) error {
		now := x.Now()
		return x.handshakeAs(Certificate{NotBefore: now.Add(-60 * 24 * time.Hour), NotAfter: now.Add(-24 * time.Hour)})
	}
}

// WrongCertificate, at StartTLSVerb, handshakes with a certificate for the
// given names, issued by the same authority as the Server's own.
func WrongCertificate(names ...string) Action {
	return func(_ context.Context, x *Exchange) error {
		return x.handshakeAs(Certificate{Names: names})
	}
}

// ShowCertificate, at StartTLSVerb, handshakes with a certificate of any kind.
func ShowCertificate(c Certificate) Action {
	return func(_ context.Context, x *Exchange) error { return x.handshakeAs(c) }
}

func (x *Exchange) handshakeAs(c Certificate) error {
	cert, err := x.c.s.Issue(c)
	if err != nil {
		return err
	}
	x.c.nextTLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	return x.Accept()
}

// PlaintextForTLS, at StartTLSVerb, sends the 220 and then text instead of a
// handshake.
func PlaintextForTLS() Action {
	return func(ctx context.Context, x *Exchange) error {
		if err := x.Accept(); err != nil {
			return err
		}
		if err := x.Flush(); err != nil {
			return err
		}
		if err := x.c.write([]byte("500 5.5.1 what is this binary noise?\r\n")); err != nil {
			return err
		}
		if err := x.Flush(); err != nil {
			return err
		}
		x.c.awaitClose(ctx, true)
		return errHangUp
	}
}

// DropHandshake, at StartTLSVerb, sends the 220 and closes the connection
// when the handshake begins.
func DropHandshake() Action {
	return func(_ context.Context, x *Exchange) error {
		if err := x.Accept(); err != nil {
			return err
		}
		if _, err := x.c.br.ReadByte(); err != nil {
			return err
		}
		return x.Drop()
	}
}

// InjectAfterStartTLS sends text in plain behind the 220, in the same write,
// and then handshakes: the response injection of NO STARTTLS. A client must
// not take the text for a reply given under TLS.
func InjectAfterStartTLS(text string) Action {
	return func(_ context.Context, x *Exchange) error {
		if err := x.Accept(); err != nil {
			return err
		}
		return x.c.write([]byte(text))
	}
}
