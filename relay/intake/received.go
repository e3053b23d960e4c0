package intake

import (
	"fmt"
	"strings"
	"time"

	"postrider/queue"
)

// maxHops is the default of Options.MaxHops; RFC 5321 §6.3 tells to count
// Received fields against loops.
const maxHops = 50

// received writes our trace field (RFC 5321 §4.4, with the protocol keywords of
// RFC 3848 and RFC 6531 §4.3).
func received(dst []byte, hostname string, s *queue.Submission, id queue.MessageID, now time.Time) []byte {
	return fmt.Appendf(dst, "Received: from %s by %s with %s id %s;\r\n\t%s\r\n",
		tracedPeer(s.Source), hostname, withProtocol(s), id, now.Format(time.RFC1123Z))
}

func tracedPeer(src queue.Source) string {
	peer := traceable(src.Peer)
	if src.Remote.IsValid() {
		if src.Remote.Is4() || src.Remote.Is4In6() {
			return fmt.Sprintf("%s ([%s])", peer, src.Remote.Unmap())
		}
		return fmt.Sprintf("%s ([IPv6:%s])", peer, src.Remote.WithZone(""))
	}
	return peer + " (local)"
}

// traceable lets through only what cannot be read as another part of the field.
func traceable(helo string) string {
	ok := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._:[]=", c) >= 0
	}
	for i := range len(helo) {
		if !ok(helo[i]) {
			return "unknown"
		}
	}
	if helo == "" || len(helo) > 255 {
		return "unknown"
	}
	return helo
}

func withProtocol(s *queue.Submission) string {
	if s.Source.Kind == "http" {
		return "HTTP"
	}
	p := "ESMTP"
	if s.Envelope.SMTPUTF8 {
		p = "UTF8SMTP"
	}
	if s.Source.TLS != "" {
		p += "S"
	}
	if s.Source.Auth != "" && s.Source.Auth != "trusted" {
		p += "A"
	}
	return p
}
