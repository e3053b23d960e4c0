package compat_test

import (
	"net/http"
	"strings"
	"testing"

	"postrider/api/compat"
)

func TestIdempotencyKeysBareAndQuoted(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 255)
	for in, want := range map[string]string{
		"order-1": "order-1", ` "order-1" `: "order-1", `"a\"b\\"`: `a"b\`, long: long, `a"b`: `a"b`,
		"": "!", `""`: "!", "a b": "!", "é": "!", long + "k": "!", `"a"b"`: "!", `"a\"`: "!", "a\x7f": "!",
	} {
		got, err := compat.IdempotencyKey(&http.Request{Header: http.Header{"Idempotency-Key": {in}}})
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q is %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := compat.IdempotencyKey(&http.Request{Header: http.Header{"Idempotency-Key": {"a", "b"}}}); err == nil {
		t.Error("two keys were taken")
	}
	if key, err := compat.IdempotencyKey(&http.Request{}); key != "" || err != nil {
		t.Errorf("%q, %v without a header", key, err)
	}
	for in, want := range map[string]string{"": "", "a": "a/7", long: "!"} {
		got, err := compat.ItemKey(in, 7)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("the eighth of %q is %q", in, got)
		}
	}
}
