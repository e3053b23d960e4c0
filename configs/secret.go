package configs

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// hidden is what every secret prints as.
const hidden = "***"

// Secret is a value that must not be seen in a log, a dump or an error. However
// it is printed or marshalled it reads ***; only Reveal gives the value. The
// zero Secret is empty. It is safe for concurrent use.
type Secret struct {
	// A pointer, because fmt prints the unexported fields of foreign structs
	// without asking methods: it then shows an address, not the value.
	value *string
}

// NewSecret returns a Secret holding value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal reports, in constant time for equal lengths, whether value is the secret.
func (s Secret) Equal(value string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(value)) == 1
}

// String returns ***.
func (s Secret) String() string { return hidden }

// GoString returns ***.
func (s Secret) GoString() string { return hidden }

// Format writes *** for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText returns ***.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON returns "***".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalYAML returns ***.
func (s Secret) MarshalYAML() (any, error) { return hidden, nil }

// LogValue returns ***.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
