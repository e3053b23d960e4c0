package compose_test

import (
	"bytes"
	"strings"
	"testing"

	"postrider/api/compose"
	"postrider/queue"
)

func plain() *compose.Message {
	return &compose.Message{
		From:    compose.Mailbox{Name: "Shop", Address: queue.Address{Local: "shop", Domain: "example.com"}},
		To:      []compose.Mailbox{{Address: queue.Address{Local: "bob", Domain: "example.org"}}},
		Subject: "Hello", Text: "Hello Bob\n", MessageID: "1@example.com",
	}
}

func TestWhatCannotBeWrittenIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	field := func(name, value string) func(*compose.Message) {
		return func(m *compose.Message) { m.Fields = []compose.Field{{Name: name, Value: value}} }
	}
	file := func(a compose.Attachment) func(*compose.Message) {
		return func(m *compose.Message) { m.Attachments = []compose.Attachment{{}, a} }
	}
	for name, c := range map[string]struct {
		change        func(*compose.Message)
		pointer, code string
	}{
		"no author":                   {func(m *compose.Message) { m.From.Address = queue.Address{} }, "#/from", "required"},
		"no recipient":                {func(m *compose.Message) { m.To = nil }, "#/to", "required"},
		"an address with a space":     {func(m *compose.Message) { m.To[0].Address.Domain = "a b" }, "#/to/0", "invalid_address"},
		"an address with a line end":  {func(m *compose.Message) { m.To[0].Address.Local = "a\r\nBcc: x" }, "#/to/0", "invalid_address"},
		"an address as encoded word":  {func(m *compose.Message) { m.From.Address.Local = "=?utf-8?q?x=40evil.example?=" }, "#/from", "invalid_address"},
		"a hidden address":            {func(m *compose.Message) { m.Bcc = []compose.Mailbox{{}} }, "#/bcc/0", "invalid_address"},
		"a name with CR":              {func(m *compose.Message) { m.From.Name = "a\rb" }, "#/from", "control_character"},
		"a name with a NUL":           {func(m *compose.Message) { m.To[0].Name = "a\x00b" }, "#/to/0", "control_character"},
		"a name with U+2028":          {func(m *compose.Message) { m.To[0].Name = "a\u2028b" }, "#/to/0", "control_character"},
		"a name that is no UTF-8":     {func(m *compose.Message) { m.To[0].Name = "a\xffb" }, "#/to/0", "invalid_utf8"},
		"a long name":                 {func(m *compose.Message) { m.To[0].Name = strings.Repeat("a", 321) }, "#/to/0", "too_long"},
		"a subject with LF":           {func(m *compose.Message) { m.Subject = "a\nBcc: x@y.example" }, "#/subject", "control_character"},
		"a subject with U+0085":       {func(m *compose.Message) { m.Subject = "a\u0085b" }, "#/subject", "control_character"},
		"a subject with U+2029":       {func(m *compose.Message) { m.Subject = "a\u2029b" }, "#/subject", "control_character"},
		"a long subject":              {func(m *compose.Message) { m.Subject = strings.Repeat("a", 999) }, "#/subject", "too_long"},
		"text that is no UTF-8":       {func(m *compose.Message) { m.Text = "\xc3" }, "#/text", "invalid_utf8"},
		"HTML with a NUL":             {func(m *compose.Message) { m.HTML = "\x00" }, "#/html", "control_character"},
		"a message id with spaces":    {func(m *compose.Message) { m.MessageID = "a b@c" }, "#/message_id", "invalid_value"},
		"a field without a name":      {field("", "x"), "#/headers", "invalid_name"},
		"a name that ends the line":   {field("X-A\r\nBcc", "x"), "#/headers", "invalid_name"},
		"a name with a colon":         {field("X:A", "x"), "#/headers", "invalid_name"},
		"a name beyond ASCII":         {field("X-É", "x"), "#/headers", "invalid_name"},
		"a name with a slash":         {field("X/~%", "\n"), "#/headers/X~1~0%25", "control_character"},
		"a value with LF":             {field("X-A", "x\n y"), "#/headers/X-A", "control_character"},
		"a second To":                 {field("to", "x@y.example"), "#/headers/to", "not_allowed"},
		"a Bcc":                       {field("BCC", "x@y.example"), "#/headers/BCC", "not_allowed"},
		"a Content-Type":              {field("Content-Type", "text/html"), "#/headers/Content-Type", "not_allowed"},
		"a signature":                 {field("DKIM-Signature", "v=1"), "#/headers/DKIM-Signature", "not_allowed"},
		"an ARC seal":                 {field("ARC-Seal", "i=1"), "#/headers/ARC-Seal", "not_allowed"},
		"the idempotency key":         {field("X-Idempotency-Key", "1"), "#/headers/X-Idempotency-Key", "not_allowed"},
		"a resent recipient":          {field("Resent-Bcc", "x@y.example"), "#/headers/Resent-Bcc", "not_allowed"},
		"a second message id":         {field("Message-Id", "<2@example.com>"), "#/headers/Message-Id", "duplicate"},
		"a date that is none":         {field("Date", "yesterday"), "#/headers/Date", "invalid_value"},
		"references that are none":    {field("References", "a@b"), "#/headers/References", "invalid_value"},
		"half an unsubscribe pair":    {field("List-Unsubscribe", "<https://example.com/u>"), "#/headers/List-Unsubscribe", "incomplete"},
		"the other half":              {field("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"), "#/headers/List-Unsubscribe-Post", "incomplete"},
		"a mailto link alone":         {field("List-Unsubscribe", "<mailto:a@b.example>"), "#/headers/List-Unsubscribe", "invalid_value"},
		"two links":                   {field("List-Unsubscribe", "<https://a.example/>, <https://b.example/>"), "#/headers/List-Unsubscribe", "invalid_value"},
		"a link without TLS":          {field("List-Unsubscribe", "<http://a.example/>"), "#/headers/List-Unsubscribe", "invalid_value"},
		"a list id that is none":      {field("List-Id", "news"), "#/headers/List-Id", "invalid_value"},
		"a structured field with ü":   {field("Auto-Submitted", "ü"), "#/headers/Auto-Submitted", "invalid_value"},
		"a structured field, no fold": {field("Feedback-ID", strings.Repeat("a", 901)), "#/headers/Feedback-ID", "too_long"},
		"a long value":                {field("X-A", strings.Repeat("a ", 5000)), "#/headers/X-A", "too_long"},
		"a file name with a line end": {file(compose.Attachment{Filename: "a\r\nb"}), "#/attachments/1/filename", "control_character"},
		"a file name with a tab":      {file(compose.Attachment{Filename: "a\tb"}), "#/attachments/1/filename", "control_character"},
		"a long file name":            {file(compose.Attachment{Filename: strings.Repeat("a", 256)}), "#/attachments/1/filename", "too_long"},
		"a type that is none":         {file(compose.Attachment{ContentType: "pdf"}), "#/attachments/1/content_type", "invalid_value"},
		"a type with a line end":      {file(compose.Attachment{ContentType: "a/b;\r\n c=d"}), "#/attachments/1/content_type", "invalid_value"},
		"a multipart file":            {file(compose.Attachment{ContentType: "multipart/mixed; boundary=x"}), "#/attachments/1/content_type", "invalid_value"},
		"a content id in brackets":    {file(compose.Attachment{ContentID: "<a>"}), "#/attachments/1/content_id", "invalid_value"},
	} {
		m := plain()
		c.change(m)
		ps := m.Check()
		found := false
		for _, p := range ps {
			found = found || p.Pointer == c.pointer && p.Code == c.code && p.Detail != ""
		}
		if !found {
			t.Errorf("%s: %+v, want %s %s", name, ps, c.pointer, c.code)
		}
	}
}

func TestTooManyOfSomething(t *testing.T) {
	t.Parallel()
	m := plain()
	for range 1000 {
		m.To = append(m.To, compose.Mailbox{Name: strings.Repeat("é", 100), Address: m.From.Address})
	}
	m.Fields = make([]compose.Field, 101)
	m.Attachments = make([]compose.Attachment, 201)
	m.ReplyTo = make([]compose.Mailbox, 51)
	want := map[string]string{"#/to": "too_long", "#/headers": "too_many", "#/attachments": "too_many", "#/reply_to": "too_many"}
	for _, p := range m.Check() {
		if want[p.Pointer] == p.Code {
			delete(want, p.Pointer)
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	m = plain()
	for range 50 {
		m.Fields = append(m.Fields, compose.Field{Name: "X-Much", Value: strings.Repeat("words ", 1300)})
	}
	if ps := m.Check(); len(ps) != 1 || ps[0].Pointer != "#/headers" || ps[0].Code != "too_long" {
		t.Errorf("a header of 400 KiB: %+v", ps)
	}
	m = plain()
	for range 999 {
		m.To = append(m.To, compose.Mailbox{Name: "Some Body", Address: queue.Address{Local: "somebody", Domain: "example.com"}})
	}
	if ps := m.Check(); len(ps) > 0 {
		t.Errorf("1000 recipients: %+v", ps)
	}
}

func TestFieldsThatASenderMaySet(t *testing.T) {
	t.Parallel()
	m := plain()
	m.MessageID = ""
	long := "<https://example.com/" + strings.Repeat("u", 800) + ">, <mailto:leave@example.com?subject=unsubscribe>"
	m.Fields = []compose.Field{
		{"Message-ID", " <order-1@shop.example> "}, {"date", "Mon, 2 Jan 2006 15:04:05 +0200"}, {"References", "<a@b>  <c@d>"},
		{"In-Reply-To", "<a@b>"}, {"List-Id", "Größe, Neues <news.example.com>"}, {"List-Unsubscribe", long},
		{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"}, {"X-Empty", ""}, {"X-Tab", "a\tb"}, {"Auto-Submitted", "auto-generated"},
		{"X-Long", strings.Repeat("x", 3000)},
	}
	octets := write(t, m)
	for _, want := range []string{
		"Date: Mon, 02 Jan 2006 15:04:05 +0200\r\nFrom: Shop <shop@example.com>\r\nTo: bob@example.org\r\nSubject: Hello\r\nMessage-ID: <order-1@shop.example>\r\n",
		"References: <a@b>  <c@d>\r\n", "List-Unsubscribe: " + strings.Replace(long, ", ", ",\r\n ", 1) + "\r\n", " <news.example.com>\r\n",
		"X-Empty: \r\n", "X-Tab: =?utf-8?b?YQli?=\r\n", "Auto-Submitted: auto-generated\r\n",
	} {
		if !bytes.Contains(octets, []byte(want)) {
			t.Errorf("no %q in\n%s", want, octets)
		}
	}
	wellFormed(t, octets, false)
	if m.MessageID != "" || len(m.Fields) != 11 {
		t.Error("writing changed the message")
	}
}

func TestShapes(t *testing.T) {
	t.Parallel()
	hidden := plain()
	hidden.Bcc, hidden.To = hidden.To, nil
	if octets := write(t, hidden); bytes.Contains(octets, []byte("bob@")) || !bytes.Contains(octets, []byte("To: undisclosed-recipients:;\r\n")) {
		t.Errorf("%s", octets)
	}
	empty := plain()
	empty.Text = ""
	if got := parse(t, write(t, empty)); got.Shape != "text/plain" || len(got.Parts[0].Content) != 0 {
		t.Errorf("%+v", got)
	}
	for name, c := range map[string]struct {
		a    compose.Attachment
		want string
	}{
		"a message stays readable":             {compose.Attachment{Filename: "a.eml", Content: []byte("A: b\n\nx\n")}, "message/rfc822 7bit A: b\r\n\r\nx\r\n"},
		"one with 8-bit octets is only a file": {compose.Attachment{ContentType: "message/rfc822", Content: []byte("A: é\n")}, "application/octet-stream base64 QTogw6kK"},
		"one with long lines likewise":         {compose.Attachment{ContentType: "message/rfc822", Content: bytes.Repeat([]byte("a"), 999)}, "application/octet-stream base64 YWFh"},
		"one with a lone CR likewise":          {compose.Attachment{ContentType: "message/rfc822", Content: []byte("A: b\rc\n")}, "application/octet-stream base64 "},
		"message/global may be encoded":        {compose.Attachment{ContentType: "message/global", Content: []byte("A: é\n")}, "message/global base64 QTogw6kK"},
		"an unknown name is octets":            {compose.Attachment{Filename: "x.unknown"}, "application/octet-stream base64 "},
	} {
		m := plain()
		m.Attachments = []compose.Attachment{c.a}
		_, part, _ := bytes.Cut(write(t, m), []byte("Hello Bob\r\n\r\n--"))
		kind, encoding, body := "", "", ""
		head, content, _ := strings.Cut(string(part), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if v, ok := strings.CutPrefix(line, "Content-Type: "); ok {
				kind, _, _ = strings.Cut(v, ";")
			}
			if v, ok := strings.CutPrefix(line, "Content-Transfer-Encoding: "); ok {
				encoding = v
			}
		}
		body = content
		if got := kind + " " + encoding + " " + body; !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestInternationalAddressesNeedSMTPUTF8(t *testing.T) {
	t.Parallel()
	m := plain()
	if m.NeedsUTF8() {
		t.Error("ASCII needs nothing")
	}
	m.Bcc = []compose.Mailbox{{Address: queue.Address{Local: "jörg", Domain: "example.com"}}}
	if !m.NeedsUTF8() {
		t.Error("a hidden recipient counts")
	}
}
