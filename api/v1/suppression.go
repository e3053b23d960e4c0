package v1

import "time"

// Suppression says that an address is not sent to.
type Suppression struct {
	ID        string     `json:"id" example:"sup_edm6ut3ecnt70xk5…"`
	Account   string     `json:"account" doc:"Whose mail it concerns; * for everybody's."`
	Email     string     `json:"email" example:"bob@example.org"`
	Scope     string     `json:"scope" doc:"The stream or list whose mail is not sent; * for all mail." example:"*"`
	Reason    string     `json:"reason" doc:"bounce, complaint, unsubscribe or manual." example:"bounce"`
	Source    string     `json:"source,omitempty" doc:"What led to it, such as a message's id."`
	Note      string     `json:"note,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When it ends by itself; absent: never."`
}

// SuppressionList is a page of suppressions, by account, address and scope.
type SuppressionList struct {
	Data       []Suppression `json:"data" nullable:"false"`
	HasMore    bool          `json:"has_more"`
	NextCursor string        `json:"next_cursor,omitempty" doc:"For the parameter cursor of the next request. A page may be short, or even empty, and still have one."`
}

// NewSuppression asks for an address not to be sent to.
type NewSuppression struct {
	Email     string     `json:"email" minLength:"3" maxLength:"320" example:"bob@example.org"`
	Scope     string     `json:"scope,omitempty" maxLength:"128" doc:"A stream or a list; absent or *: all mail."`
	Reason    string     `json:"reason,omitempty" enum:"bounce,complaint,unsubscribe,manual" doc:"Absent: manual. Of two for the same address and scope the stronger one stays."`
	Source    string     `json:"source,omitempty" maxLength:"200"`
	Note      string     `json:"note,omitempty" maxLength:"200"`
	CreatedAt *time.Time `json:"created_at,omitempty" doc:"For lists that come from elsewhere; absent: now."`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Account   string     `json:"account,omitempty" maxLength:"128" doc:"Whose mail it concerns; absent: the caller's. Only admins may name another, or * for everybody's."`
}

// SuppressionBatch adds and removes many at once. Each is done by itself.
type SuppressionBatch struct {
	Add    []NewSuppression    `json:"add,omitempty" nullable:"false" maxItems:"1000"`
	Remove []SuppressionRemove `json:"remove,omitempty" nullable:"false" maxItems:"1000"`
}

// SuppressionRemove names what to take off the list: an id, or an address with
// an optional scope.
type SuppressionRemove struct {
	ID      string `json:"id,omitempty" maxLength:"1024"`
	Email   string `json:"email,omitempty" maxLength:"320"`
	Scope   string `json:"scope,omitempty" maxLength:"128" doc:"Absent: of all scopes."`
	Account string `json:"account,omitempty" maxLength:"128" doc:"Absent: the caller's. For admins."`
}

// SuppressionBatchResult says what a batch did.
type SuppressionBatchResult struct {
	Added   int          `json:"added" doc:"That were not on the list before."`
	Updated int          `json:"updated" doc:"That were, and have been strengthened where the new word was stronger."`
	Removed int          `json:"removed"`
	Errors  []FieldError `json:"errors" nullable:"false" doc:"What was not done, and why; pointer says which."`
}

// SuppressionQuery asks which addresses are not sent to.
type SuppressionQuery struct {
	Emails  []string `json:"emails" nullable:"false" minItems:"1" maxItems:"1000"`
	Scopes  []string `json:"scopes,omitempty" nullable:"false" maxItems:"20" doc:"Streams and lists of the mail that is meant; absent: only what is suppressed for all mail."`
	Account string   `json:"account,omitempty" maxLength:"128" doc:"Absent: the caller's. For admins."`
}

// SuppressionAnswers says of each address, in the order of the question, whether
// it is sent to.
type SuppressionAnswers struct {
	Data []SuppressionAnswer `json:"data" nullable:"false"`
}

// SuppressionAnswer is about one address.
type SuppressionAnswer struct {
	Email       string       `json:"email"`
	Suppressed  bool         `json:"suppressed"`
	Suppression *Suppression `json:"suppression,omitempty" doc:"The strongest one that says so."`
	Error       string       `json:"error,omitempty" doc:"Why the address cannot be read."`
}

// ImportResult says what became of a list that was read in.
type ImportResult struct {
	Lines   int           `json:"lines" doc:"Entries that were read."`
	Added   int           `json:"added" doc:"That were not on the list before."`
	Updated int           `json:"updated" doc:"That were."`
	Failed  int           `json:"failed" doc:"That were not taken."`
	Errors  []ImportError `json:"errors" nullable:"false" doc:"Why, of the first hundred."`
}

// ImportError is one line that was not taken.
type ImportError struct {
	Line   int    `json:"line" doc:"Counted from 1, a heading included."`
	Code   string `json:"code" example:"invalid_address"`
	Detail string `json:"detail"`
}
