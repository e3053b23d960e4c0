package v1

import "time"

// Stream is a kind of mail that an account sends, with its rules.
type Stream struct {
	Name        string       `json:"name" example:"newsletter"`
	Kind        string       `json:"kind" doc:"transactional: what its recipient waits for. bulk: sent to many who may leave; its mail must offer a way out with one click." example:"bulk"`
	Description string       `json:"description,omitempty"`
	Unsubscribe *Unsubscribe `json:"unsubscribe,omitempty" doc:"How recipients leave, for mail that does not say so itself."`
	BuiltIn     bool         `json:"built_in,omitempty" doc:"Every account has it."`
	CreatedAt   *time.Time   `json:"created_at,omitempty"`
	UpdatedAt   *time.Time   `json:"updated_at,omitempty"`
}

// StreamList holds an account's streams, by name.
type StreamList struct {
	Data []Stream `json:"data" nullable:"false"`
}

// NewStream asks for a stream.
type NewStream struct {
	Account     string       `json:"account,omitempty" maxLength:"64" doc:"Whose it is; absent: the caller's. Only admins may name another."`
	Name        string       `json:"name" minLength:"1" maxLength:"64" doc:"1 to 64 of the letters a-z 0-9 . _ -." example:"newsletter"`
	Kind        string       `json:"kind" enum:"transactional,bulk"`
	Description string       `json:"description,omitempty" maxLength:"500"`
	Unsubscribe *Unsubscribe `json:"unsubscribe,omitempty"`
}

// StreamChange changes what is there.
type StreamChange struct {
	Account     string       `json:"account,omitempty" maxLength:"64" doc:"Whose it is; absent: the caller's. Only admins may name another."`
	Kind        *string      `json:"kind,omitempty" enum:"transactional,bulk"`
	Description *string      `json:"description,omitempty" maxLength:"500"`
	Unsubscribe *Unsubscribe `json:"unsubscribe,omitempty" doc:"Replaces what is there; mode none takes it away."`
}
