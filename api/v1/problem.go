package v1

import "strings"

// Problem is an error answer (RFC 9457), served as application/problem+json. It
// repeats nothing that was submitted.
type Problem struct {
	Type       string       `json:"type" format:"uri" doc:"Names the kind of problem: urn:postrider:problem: and the code." example:"urn:postrider:problem:validation_failed"`
	Title      string       `json:"title" doc:"The status in words." example:"Unprocessable Entity"`
	Status     int          `json:"status" doc:"The HTTP status." example:"422"`
	Code       string       `json:"code" doc:"What went wrong, for programs. More codes may be added." example:"validation_failed"`
	Detail     string       `json:"detail" doc:"What is wrong and what to do, for people."`
	Instance   string       `json:"instance,omitempty" format:"uri" doc:"Names this request: urn:request: and its id."`
	RequestID  string       `json:"request_id,omitempty" doc:"The request's id, as in X-Request-Id and in the log."`
	Errors     []FieldError `json:"errors,omitempty" nullable:"false" doc:"What is wrong with which member or parameter."`
	RetryAfter int          `json:"retry_after,omitempty" doc:"Seconds to wait before the same request, as in Retry-After."`
}

// FieldError is one thing that is wrong in a request.
type FieldError struct {
	Pointer   string `json:"pointer,omitempty" doc:"Where in the body, as a JSON Pointer (RFC 6901) in a URI fragment." example:"#/to/0"`
	Parameter string `json:"parameter,omitempty" doc:"Which parameter of the path, the query or the header."`
	Code      string `json:"code" doc:"What is wrong, for programs." example:"invalid_address"`
	Detail    string `json:"detail" doc:"What is wrong, for people."`
}

// Error tells what is wrong on one line.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		return p.Detail
	}
	texts := make([]string, 0, len(p.Errors))
	for _, e := range p.Errors {
		text := e.Detail
		if where := strings.TrimPrefix(strings.TrimPrefix(e.Pointer, "#"), "/") + e.Parameter; where != "" {
			text = where + ": " + text
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}
