package api

import (
	"context"
	"net/http"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// Replies knows what other mail servers said that was not understood.
type Replies interface {
	// Unknown returns at most n kinds of replies of which no rule knew more than
	// the code, those that were met most often first.
	Unknown(n int) []v1.UnknownReply
}

func (s *Server) replyOperations(r *router) {
	register(r, operation{
		id: "list-unknown-replies", method: http.MethodGet, path: "/v1/replies/unknown", scope: queue.ScopeQueueRead, operator: true, tag: tagQueue,
		summary: "List replies that no rule knows",
		description: "What other mail servers said, of which only the code was understood, the most frequent first. What differs from one reply to the next, such as addresses and numbers, is shown as `#`. " +
			"They are counted by this process since it started. A file of rules, `bounce.rules`, says what they mean.",
	}, s.unknownReplies)
}

type unknownRepliesInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at the most."`
}

func (s *Server) unknownReplies(_ context.Context, in *unknownRepliesInput) (*answer[v1.UnknownReplyList], error) {
	list := v1.UnknownReplyList{Data: s.o.Replies.Unknown(in.Limit)}
	if list.Data == nil {
		list.Data = []v1.UnknownReply{}
	}
	return answerOf(list), nil
}
