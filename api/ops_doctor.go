package api

import (
	"context"
	"net/http"

	"postrider/api/domain"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// Doctor examines the relay.
type Doctor interface {
	// Examine looks at everything, and at these domains, or at those that are
	// known where none is named. It takes a minute at the most.
	Examine(ctx context.Context, domains []string) (v1.Examination, error)
	// Last returns what the relay found by itself last; queue.ErrNotFound if it
	// has not looked yet.
	Last(ctx context.Context) (v1.Examination, error)
}

func (s *Server) doctorOperations(r *router) {
	register(r, operation{
		id: "get-examination", method: http.MethodGet, path: "/v1/doctor", scope: queue.ScopeConfigRead, operator: true, tag: tagDomains,
		summary: "Show what the relay found about itself", description: "By its own examination, which it makes once a day.",
	}, s.lastExamination)
	register(r, operation{
		id: "create-examination", method: http.MethodPost, path: "/v1/doctor", scope: queue.ScopeDomainsWrite, operator: true, tag: tagDomains,
		summary:     "Examine the relay now",
		description: "Looks at what stops mail from here: DNS, reverse names, block lists, port 25, certificates, and SPF, DKIM and DMARC of domains. Each finding says what to publish or to do. It takes up to a minute, sends no mail and changes nothing.",
	}, s.examine)
}

func (s *Server) lastExamination(ctx context.Context, _ *struct{}) (*answer[v1.Examination], error) {
	e, err := s.o.Doctor.Last(ctx)
	if err != nil {
		return nil, err
	}
	return answerOf(e), nil
}

type examineInput struct {
	Examination jsonBody[v1.NewExamination]
}

func (s *Server) examine(ctx context.Context, in *examineInput) (*answer[v1.Examination], error) {
	var names []string
	for _, d := range in.Examination.Value.Domains {
		name, err := domain.Normalize(d)
		if err != nil {
			return nil, domainError(err)
		}
		names = append(names, name)
	}
	e, err := s.o.Doctor.Examine(ctx, names)
	if err != nil {
		return nil, err
	}
	return answerOf(e), nil
}
