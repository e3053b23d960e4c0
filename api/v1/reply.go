package v1

import "time"

// UnknownReply is a kind of reply of other mail servers of which no rule knew
// more than its code.
type UnknownReply struct {
	Code  int       `json:"code" doc:"Of the reply; of what we found ourselves, the hundreds alone." example:"554"`
	Text  string    `json:"text" doc:"In small letters, without the enhanced code, and with # for what differs." example:"computer says no to <#>, ticket #"`
	Stage string    `json:"stage" doc:"Of the session." example:"dot"`
	Class string    `json:"class" doc:"The reason class that it was taken for." example:"other.perm"`
	Host  string    `json:"host,omitempty" doc:"The last one that said so." example:"mx.example.org"`
	Count int       `json:"count"`
	First time.Time `json:"first_at"`
	Last  time.Time `json:"last_at"`
}

// UnknownReplyList holds unknown replies, the most frequent first.
type UnknownReplyList struct {
	Data []UnknownReply `json:"data" nullable:"false"`
}
