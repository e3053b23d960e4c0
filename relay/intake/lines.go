package intake

import (
	"bytes"
	"encoding/binary"
)

// lines rewrites text to canonical line ends while it passes: CR LF stays; a
// run of CRs before an LF, a bare LF and each bare CR become CR LF (RFC 5321
// §2.3.8 allows no other line end on the wire). It also notes what the envelope
// must say about the text.
type lines struct {
	crs      int  // CRs seen and not yet written
	open     bool // the last line has no end yet
	eightBit bool
	nul      bool
}

// append adds the canonical form of src to dst. CRs at the end of src are held
// back until it is known what follows; finish adds them.
func (l *lines) append(dst, src []byte) []byte {
	l.inspect(src)
	for len(src) > 0 {
		if l.crs > 0 {
			dst, src = l.afterCR(dst, src)
			continue
		}
		i := bytes.IndexByte(src, '\n')
		if i > 0 && src[i-1] == '\r' && bytes.IndexByte(src[:i-1], '\r') < 0 {
			dst = append(dst, src[:i+1]...)
			src, l.open = src[i+1:], false
			continue
		}
		dst, src = l.oddLine(dst, src, i)
	}
	return dst
}

// oddLine takes a line, or the rest of src, that is not simply text and CR LF.
func (l *lines) oddLine(dst, src []byte, lf int) ([]byte, []byte) {
	end := lf
	if lf < 0 {
		end = len(src)
	}
	if cr := bytes.IndexByte(src[:end], '\r'); cr >= 0 {
		if cr > 0 {
			dst, l.open = append(dst, src[:cr]...), true
		}
		l.crs = 1
		return dst, src[cr+1:]
	}
	dst = append(dst, src[:end]...)
	if lf < 0 {
		l.open = true
		return dst, nil
	}
	l.open = false
	return append(dst, '\r', '\n'), src[lf+1:]
}

func (l *lines) afterCR(dst, src []byte) ([]byte, []byte) {
	switch src[0] {
	case '\r':
		l.crs++
		return dst, src[1:]
	case '\n':
		l.crs, l.open = 0, false
		return append(dst, '\r', '\n'), src[1:]
	}
	return l.bareCRs(dst), src
}

func (l *lines) bareCRs(dst []byte) []byte {
	for ; l.crs > 0; l.crs-- {
		dst, l.open = append(dst, '\r', '\n'), false
	}
	return dst
}

// finish writes what was held back and ends the last line.
func (l *lines) finish(dst []byte) []byte {
	dst = l.bareCRs(dst)
	if l.open {
		dst, l.open = append(dst, '\r', '\n'), false
	}
	return dst
}

func (l *lines) inspect(src []byte) {
	if !l.eightBit {
		l.eightBit = hasHighBit(src)
	}
	if !l.nul {
		l.nul = bytes.IndexByte(src, 0) >= 0
	}
}

func hasHighBit(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&high != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
