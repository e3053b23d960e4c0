package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	stampHeader  = "X-Relaybench-Sent"
	digestHeader = "X-Relaybench-Digest"
	crlfcrlf     = "\r\n\r\n"
)

// content makes messages that differ in their headers only. It is immutable.
type content struct {
	from   string
	plain  []byte // the body
	body   []byte // dot-stuffed
	digest string // of the body before stuffing
	size   int
}

// newContent makes content of about size bytes, headers included: lines of
// text, some of them with a leading dot.
func newContent(from string, size int) *content {
	const headers = 380
	var raw, wire bytes.Buffer
	for i := 0; raw.Len() < size-headers; i++ {
		line := fmt.Sprintf("%06d %s\r\n", i, "the quick brown fox jumps over the lazy dog, 0123456789")
		if i%7 == 3 {
			line = "." + line
			wire.WriteByte('.')
		}
		raw.WriteString(line)
		wire.WriteString(line)
	}
	sum := sha256.Sum256(raw.Bytes())
	return &content{from: from, plain: raw.Bytes(), body: wire.Bytes(), digest: hex.EncodeToString(sum[:]), size: size}
}

// appendTo appends the message to recipient number n on the wire, up to and
// with the final dot.
func (c *content) appendTo(b []byte, n int64, to string, now time.Time) []byte {
	b = append(c.appendHeader(b, n, to, now), c.body...)
	return append(b, ".\r\n"...)
}

// appendHeader appends its header, up to and with the empty line.
func (c *content) appendHeader(b []byte, n int64, to string, now time.Time) []byte {
	b = append(b, "From: <"...)
	b = append(b, c.from...)
	b = append(b, ">\r\nTo: <"...)
	b = append(b, to...)
	b = append(b, ">\r\nSubject: load "...)
	b = strconv.AppendInt(b, n, 10)
	b = append(b, "\r\nDate: "...)
	b = now.AppendFormat(b, time.RFC1123Z)
	b = append(b, "\r\nMessage-ID: <"...)
	b = strconv.AppendInt(b, n, 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, now.UnixNano(), 36)
	b = append(b, "@relaybench.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n"+stampHeader+": "...)
	b = strconv.AppendInt(b, now.UnixNano(), 10)
	b = append(b, "\r\n"+digestHeader+": "...)
	b = append(b, c.digest...)
	return append(b, crlfcrlf...)
}

// inspect reads what the source put into a message: when it was sent (zero
// if it does not say) and whether its body is still the same. A message
// without a digest is intact.
func inspect(raw []byte) (sent time.Time, intact bool) {
	end := bytes.Index(raw, []byte(crlfcrlf))
	if end < 0 {
		return time.Time{}, true
	}
	header, body := raw[:end+2], raw[end+4:]
	if ns, err := strconv.ParseInt(field(header, stampHeader), 10, 64); err == nil {
		sent = time.Unix(0, ns)
	}
	digest := field(header, digestHeader)
	if digest == "" {
		return sent, true
	}
	sum := sha256.Sum256(body)
	return sent, strings.EqualFold(digest, hex.EncodeToString(sum[:]))
}

// field is the value of a header field of one line, "" if it is not there.
func field(header []byte, name string) string {
	for len(header) > 0 {
		var line []byte
		line, header, _ = bytes.Cut(header, []byte("\r\n"))
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return string(bytes.TrimSpace(line[len(name)+1:]))
		}
	}
	return ""
}
