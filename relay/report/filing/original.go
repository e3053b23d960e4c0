package filing

import (
	"bytes"
	"mime"
	"strings"

	"postrider/queue"
)

// original is an entry of Queued or Sent: the message as it is, behind what is
// known of its way.
func original(e *queue.Entry, k key, who *indexes) []byte {
	var b bytes.Buffer
	b.Grow(768) // of which one recipient leaves some
	facts(&b, e, originalWord(k), who)
	if k.gone {
		known(&b, e)
		b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" + noBody + "\r\n")
	}
	return b.Bytes()
}

// noBody stands for a content that is gone.
const noBody = "The body of this message is no longer kept."

func originalWord(k key) string {
	switch {
	case k.kind == kindSent:
		return stateWord(queue.StateDelivered)
	case k.held:
		return stateWord(queue.StateHeld)
	case !k.due.IsZero():
		return stateWord(queue.StateScheduled)
	}
	return stateWord(queue.StateQueued)
}

// encodeWord writes a phrase that is not ASCII (RFC 2047 §5).
func encodeWord(s string) string { return mime.BEncoding.Encode("utf-8", s) }

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
