package access_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"postrider/api/access"
)

func basic(userpass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userpass))
}

func TestCredentialsAreReadFromEveryPlaceThatSurfacesUse(t *testing.T) {
	t.Parallel()
	key, none := access.Credentials{Secret: "k1"}, access.Credentials{}
	for name, c := range map[string]struct {
		header http.Header
		want   access.Credentials
		ok     bool
	}{
		"nothing":                       {http.Header{}, none, false},
		"a Bearer token":                {http.Header{"Authorization": {"Bearer k1"}}, key, true},
		"its scheme in any case":        {http.Header{"Authorization": {"bEARER   k1 "}}, key, true},
		"Basic as Mailgun has it":       {http.Header{"Authorization": {basic("api:k1")}}, key, true},
		"Basic without a name":          {http.Header{"Authorization": {basic(":k1")}}, key, true},
		"Basic with an account":         {http.Header{"Authorization": {basic("shop:pass:word")}}, access.Credentials{Name: "shop", Secret: "pass:word"}, true},
		"Postmark's header":             {http.Header{"X-Postmark-Server-Token": {"k1"}}, key, true},
		"Postal's header":               {http.Header{"X-Server-Api-Key": {" k1 "}}, key, true},
		"the same twice":                {http.Header{"Authorization": {"Bearer k1"}, "X-Postmark-Server-Token": {"k1"}}, key, true},
		"the same as Basic":             {http.Header{"Authorization": {basic("api:k1")}, "X-Server-Api-Key": {"k1"}}, key, true},
		"two that differ":               {http.Header{"Authorization": {"Bearer k1"}, "X-Postmark-Server-Token": {"k2"}}, none, false},
		"two Authorization fields":      {http.Header{"Authorization": {"Bearer k1", "Bearer k2"}}, none, false},
		"an account beside a key":       {http.Header{"Authorization": {basic("shop:k1")}, "X-Server-Api-Key": {"k1"}}, none, false},
		"a good one beside an odd one":  {http.Header{"Authorization": {"Digest x"}, "X-Server-Api-Key": {"k1"}}, none, false},
		"an empty token":                {http.Header{"Authorization": {"Bearer "}}, none, false},
		"an empty header":               {http.Header{"X-Postmark-Server-Token": {""}}, none, false},
		"a scheme alone":                {http.Header{"Authorization": {"Bearer"}}, none, false},
		"Basic without a secret":        {http.Header{"Authorization": {basic("shop:")}}, none, false},
		"Basic without a colon":         {http.Header{"Authorization": {basic("shop")}}, none, false},
		"Basic that is no base64":       {http.Header{"Authorization": {"Basic ???"}}, none, false},
		"a control character":           {http.Header{"Authorization": {basic("api:k\x001")}}, none, false},
		"more than a secret can be":     {http.Header{"Authorization": {"Bearer " + strings.Repeat("k", 2000)}}, none, false},
		"a header that no surface uses": {http.Header{"Api-Key": {"k1"}}, none, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := access.FromRequest(&http.Request{Header: c.header})
			if got != c.want || ok != c.ok {
				t.Errorf("%+v, %v, want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func FuzzFromRequest(f *testing.F) {
	for _, seed := range []string{"", "Bearer k", "Basic YXBpOms=", "Basic ====", "bearer  \x00", "Basic " + strings.Repeat("A", 5000)} {
		f.Add(seed, "", "")
		f.Add(seed, "k", "k")
	}
	f.Fuzz(func(t *testing.T, authorization, postmark, postal string) {
		h := http.Header{}
		for name, v := range map[string]string{"Authorization": authorization, "X-Postmark-Server-Token": postmark, "X-Server-Api-Key": postal} {
			if v != "" {
				h.Set(name, v)
			}
		}
		c, ok := access.FromRequest(&http.Request{Header: h})
		if ok == (c.Secret == "") || !ok && c != (access.Credentials{}) {
			t.Errorf("%+v, %v", c, ok)
		}
		if strings.ContainsAny(c.Name+c.Secret, "\x00\r\n") {
			t.Errorf("control characters came through: %+v", c)
		}
	})
}
