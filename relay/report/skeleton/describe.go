package skeleton

import "bytes"

// scratch is room that is used again for each header.
type scratch struct {
	value []byte // of a field or parameter, until the next
	media []byte // of Content-Type, as long as the header is described
	disp  []byte
	addr  addresses

	text   []byte // of a search field
	octets []byte // of encoded words
}

// describe reads what the header says of an entity, and writes it as it goes over
// the wire. It returns the boundary of a multipart.
func (w *walker) describe(of int) (boundary string) {
	n := &w.nodes[of]
	t := w.mediaType(of)
	n.digest = n.kind == multi && equalFold(t.sub, "digest")
	if n.kind == multi {
		boundary = boundaryIn(t.params)
	}
	mark := len(w.wire)
	w.render(n, t, false)
	if of == 0 {
		w.searchHeader()
		w.budget = len(w.wire) + maxKept
	} else if len(w.wire) > w.budget {
		w.wire = w.wire[:mark]
		w.render(n, t, true)
	}
	return boundary
}

// mediaType decides of what type and kind an entity is.
func (w *walker) mediaType(of int) (t mediaType) {
	n := &w.nodes[of]
	if w.head.has(contentType) {
		t = parseMedia(w.head.value(contentType, &w.scratch.media))
	} else if w.inDigest() {
		t = mediaType{main: []byte("message"), sub: []byte("rfc822")} // RFC 2046 §5.1.5
	} else {
		t = mediaType{main: []byte("text"), sub: []byte("plain")}
	}
	switch {
	case t.isMain("text"):
		n.kind = text
	case t.isMain("multipart"):
		n.kind = multi
	case t.is("message", "rfc822"):
		n.kind = message
	case t.is("message", "global"):
		n.kind = global
	}
	if n.kind < multi || n.depth < maxDepth && len(w.nodes) < maxParts && !w.isEncoded(n.kind) {
		return t
	}
	// Nobody looks into it. A client that reads one of these types expects what is
	// inside to follow, so it gets another.
	n.kind = leaf
	return mediaType{[]byte("application"), []byte("octet-stream"), t.params}
}

func (w *walker) inDigest() bool {
	return len(w.open) > 1 && w.nodes[w.open[len(w.open)-2].node].digest
}

// isEncoded says that the message in a part cannot be read as it stands, which
// RFC 2046 §5.2.1 does not allow. It does not allow it for a multipart either, but
// there those who write it do not do it.
func (w *walker) isEncoded(k kind) bool {
	if k == multi {
		return false
	}
	e := w.encoding()
	return equalFold(e, "base64") || equalFold(e, "quoted-printable")
}

// encoding is what Content-Transfer-Encoding says.
func (w *walker) encoding() []byte {
	e := skipComments(w.head.value(contentEncoding, &w.scratch.value))
	e = firstToken(bytes.Trim(e, `"`))
	if i := bytes.IndexByte(e, ';'); i >= 0 {
		e = e[:i]
	}
	if len(e) == 0 {
		return []byte("7bit")
	}
	return e
}

// render writes the wire forms of a header. If it is to be brief, it leaves out
// all that can be of any length.
func (w *walker) render(n *node, t mediaType, brief bool) {
	b := w.wire
	start := len(b)
	if n.kind == multi {
		b = appendToken(b, t.sub)
	} else {
		b = w.appendMIME(b, t, brief)
	}
	n.mime = span{start, len(b)}

	start = len(b)
	b = w.appendExtension(b, n.kind == multi, t, brief)
	n.ext = span{start, len(b)}

	start = len(b)
	if n.depth == 0 || n.inside {
		b = w.appendEnvelope(b, brief)
	}
	n.env = span{start, len(b)}
	w.wire = b
}

// appendMIME writes the basic fields of a body that is no multipart, up to its
// encoding.
func (w *walker) appendMIME(b []byte, t mediaType, brief bool) []byte {
	b = appendToken(b, t.main)
	b = append(b, ' ')
	b = appendToken(b, t.sub)
	b = append(b, ' ')
	from := len(b)
	b = w.appendParams(b, t.params, brief)
	// RFC 2046 §4.1.2. What other texts mean by their silence is not for us to say.
	if !brief && t.is("text", "plain") && string(b[from:]) == "NIL" {
		b = append(b[:from], `("charset" "us-ascii")`...)
	}
	b = append(b, ' ')
	b = w.appendField(b, contentID, brief)
	b = append(b, ' ')
	b = w.appendField(b, contentDescription, brief)
	b = append(b, ' ')
	return appendToken(b, w.encoding())
}

// appendExtension writes the extension data in the order of body-ext-1part, or of
// body-ext-mpart.
func (w *walker) appendExtension(b []byte, multipart bool, t mediaType, brief bool) []byte {
	if multipart {
		b = w.appendParams(b, t.params, brief)
	} else {
		b = w.appendField(b, contentMD5, brief)
	}
	b = append(b, ' ')
	b = w.appendDisposition(b, brief)
	b = append(b, ' ')
	b = w.appendLanguages(b, brief)
	b = append(b, ' ')
	return w.appendField(b, contentLocation, brief)
}

// appendField writes a field as nstring: NIL only if it is not there.
func (w *walker) appendField(b []byte, f field, brief bool) []byte {
	if brief || !w.head.has(f) {
		return append(b, "NIL"...)
	}
	return appendString(b, w.head.value(f, &w.scratch.value))
}

// appendParams writes body-fld-param. Parameters are as they were sent: joining
// and decoding what RFC 2231 lets senders do is the client's work.
func (w *walker) appendParams(b, v []byte, brief bool) []byte {
	if brief {
		return append(b, "NIL"...)
	}
	from := len(b)
	p := params{rest: v, room: w.scratch.value}
	for len(b)-from < maxList {
		name, value, ok := p.next()
		if !ok {
			break
		}
		b = append(b, ' ')
		b = appendToken(b, name)
		b = append(b, ' ')
		b = appendString(b, value)
	}
	w.scratch.value = p.room
	if len(b) == from {
		return append(b, "NIL"...)
	}
	b[from] = '('
	return append(b, ')')
}

func (w *walker) appendDisposition(b []byte, brief bool) []byte {
	if brief || !w.head.has(contentDisposition) {
		return append(b, "NIL"...)
	}
	v := skipComments(w.head.value(contentDisposition, &w.scratch.disp))
	kind, rest, _ := bytes.Cut(v, []byte(";"))
	if bytes.IndexByte(kind, '=') >= 0 { // the type is missing
		kind, rest = nil, v
	}
	if kind = firstToken(kind); len(kind) == 0 {
		// RFC 2183 §2.8: what is not known is an attachment.
		kind = []byte("attachment")
	}
	b = append(b, '(')
	b = appendToken(b, kind)
	b = append(b, ' ')
	b = w.appendParams(b, rest, false)
	return append(b, ')')
}

func (w *walker) appendLanguages(b []byte, brief bool) []byte {
	from := len(b)
	if !brief {
		v := w.head.value(contentLanguage, &w.scratch.value)
		for tag := range bytes.SplitSeq(v, []byte(",")) {
			tag = firstToken(tag)
			if len(tag) > 0 && len(b)-from < maxString {
				b = append(b, ' ')
				b = appendString(b, clip(tag, maxToken))
			}
		}
	}
	if len(b) == from {
		return append(b, "NIL"...)
	}
	b[from] = '('
	return append(b, ')')
}
