package compose

import (
	"fmt"
	"maps"
	"mime"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// mediaType is a Content-Type taken apart.
type mediaType struct {
	name   string
	params map[string]string
}

const octetStream = "application/octet-stream"

// parseType reads a type, or says what is wrong with it. The empty one is the
// zero mediaType.
func parseType(s string) (t mediaType, wrong string) {
	if s == "" {
		return mediaType{}, ""
	}
	name, params, err := mime.ParseMediaType(s)
	main, sub, ok := strings.Cut(name, "/")
	switch {
	case err != nil, !ok, !token(main), !token(sub), len(s) > MaxFilename, !utf8.ValidString(s), hasControl(s):
		return mediaType{}, "A content type looks like application/pdf."
	case main == "multipart":
		return mediaType{}, "A file cannot be of a multipart type; attach a message as message/rfc822."
	}
	delete(params, "boundary")
	return mediaType{name: name, params: params}, ""
}

// typeOf decides an attachment's type.
func (a *Attachment) typeOf() mediaType {
	t, _ := parseType(a.ContentType)
	if t.name == "" {
		t = mediaType{name: typesByName[strings.ToLower(path.Ext(a.Filename))]}
	}
	if t.name == "" || composite(t.name) && !sevenBit(a.Content) {
		t = mediaType{name: octetStream}
	}
	if a.Filename != "" {
		t.params = maps.Clone(t.params)
		if t.params == nil {
			t.params = map[string]string{}
		}
		// For the programs that know no RFC 2231, a name in ASCII.
		t.params["name"] = asciiName(a.Filename)
	}
	return t
}

// composite reports the types that may not be encoded (RFC 2046 §5.2). A
// message/global may (RFC 6532 §3.7).
func composite(name string) bool {
	return strings.HasPrefix(name, "message/") && !strings.HasPrefix(name, "message/global")
}

// sevenBit reports content that can be sent without encoding (RFC 2045 §2.7).
func sevenBit(b []byte) bool {
	line := 0
	for i, c := range b {
		switch {
		case c == 0 || c >= 0x80:
			return false
		case c == '\n':
			line = 0
			continue
		case c == '\r':
			if i+1 == len(b) || b[i+1] != '\n' {
				return false
			}
			continue
		}
		if line++; line > 998 {
			return false
		}
	}
	return true
}

// asciiName shortens a name to what fits a line, and keeps its extension.
func asciiName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\?`, r) {
			return '_'
		}
		return r
	}, s)
	const most = 60
	if len(s) <= most {
		return s
	}
	ext := path.Ext(s)
	if len(ext) > 10 {
		ext = ""
	}
	return s[:most-len(ext)] + ext
}

// typed writes a field with a value and parameters, such as Content-Type.
func (w *headerWriter) typed(name, value string, params map[string]string) {
	words := []string{value}
	for _, key := range slices.Sorted(maps.Keys(params)) {
		words = append(words, parameter(key, params[key])...)
	}
	w.begin(name)
	for i, word := range words {
		if i < len(words)-1 {
			word += ";"
		}
		w.word(word)
	}
	w.end()
}

// maxParameter keeps one parameter, its semicolon and the fold before it on a line.
const maxParameter = maxLine - 2

// parameter writes one parameter, in pieces if it is long or beyond ASCII (RFC 2231).
func parameter(key, value string) []string {
	if ascii(value) && !strings.Contains(value, "=?") { // some decode that in quotes
		plain := key + "=" + quoteParameter(value)
		if len(plain) <= maxParameter {
			return []string{plain}
		}
	}
	whole := key + "*=utf-8''" + percent(value)
	if len(whole) <= maxParameter {
		return []string{whole}
	}
	var pieces []string
	for value != "" {
		piece := fmt.Sprintf("%s*%d*=", key, len(pieces))
		if len(pieces) == 0 {
			piece += "utf-8''"
		}
		n := fitPercent(value, maxParameter-len(piece))
		pieces = append(pieces, piece+percent(value[:n]))
		value = value[n:]
	}
	return pieces
}

func quoteParameter(s string) string {
	if token(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// token is RFC 2045 §5.1's.
func token(s string) bool {
	return s != "" && printable(s) && !strings.ContainsAny(s, `()<>@,;:\"/[]?=`)
}

// percent is RFC 2231 §7's ext-octet for all but attribute-char.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if attributeChar(s[i]) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

func attributeChar(c byte) bool {
	return c > ' ' && c < 0x7f && strings.IndexByte(`*'%()<>@,;:\"/[]?=`, c) < 0
}

// fitPercent returns how much of s fits, in whole letters and at least one.
func fitPercent(s string, room int) int {
	used := 0
	for i, r := range s {
		cost := 3 * utf8.RuneLen(r)
		if r < 0x80 && attributeChar(byte(r)) {
			cost = 1
		}
		if used+cost > room && i > 0 {
			return i
		}
		used += cost
	}
	return len(s)
}

// typesByName are the types of files as they are mailed: the same on every
// machine, whatever tables it has.
var typesByName = map[string]string{
	".txt": "text/plain", ".csv": "text/csv", ".html": "text/html", ".htm": "text/html", ".ics": "text/calendar",
	".vcf": "text/vcard", ".md": "text/markdown", ".css": "text/css", ".xml": "application/xml", ".json": "application/json",
	".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".tar": "application/x-tar",
	".7z": "application/x-7z-compressed", ".rtf": "application/rtf", ".epub": "application/epub+zip",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".svg": "image/svg+xml",
	".webp": "image/webp", ".avif": "image/avif", ".heic": "image/heic", ".bmp": "image/bmp", ".ico": "image/vnd.microsoft.icon",
	".tif": "image/tiff", ".tiff": "image/tiff", ".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg",
	".m4a": "audio/mp4", ".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm",
	".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".odt":  "application/vnd.oasis.opendocument.text", ".ods": "application/vnd.oasis.opendocument.spreadsheet",
	".eml": "message/rfc822", ".p7s": "application/pkcs7-signature", ".asc": "application/pgp-signature",
}
