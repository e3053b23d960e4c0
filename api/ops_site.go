package api

import (
	"context"
	"fmt"
	"net/http"

	v1 "postrider/api/v1"
	"postrider/queue"
)

// Sites knows the limits that this node keeps towards the sites it sends to.
type Sites interface {
	// Sites returns at most n sites that it has to do with, by name: those that
	// are paused or were refused something first.
	Sites(n int) []v1.Site
	// Unpause lets a site that is paused be tried now, and reports whether it
	// was paused.
	Unpause(ctx context.Context, site string) bool
}

func (s *Server) siteOperations(r *router) {
	const collection = "/v1/queue/sites"
	register(r, operation{
		id: "list-sites", method: http.MethodGet, path: collection, scope: queue.ScopeQueueRead, operator: true, tag: tagQueue,
		summary:     "List the sites that mail goes to, with their limits",
		description: "Those that this node has to do with now, and those it keeps in mind since they refused something; the paused ones first.",
	}, s.listSites)
	register(r, operation{
		id: "unpause-site", method: http.MethodDelete, path: collection + "/pause", status: http.StatusNoContent, scope: queue.ScopeQueueWrite, operator: true, tag: tagQueue,
		summary: "End the pause of a site",
		description: "When what led to it was mended, such as a block or a wrong login: one message is tried now, and the others follow if it succeeds. " +
			"Other nodes follow within seconds.",
	}, s.unpauseSite)
}

type listSitesInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at the most."`
}

func (s *Server) listSites(_ context.Context, in *listSitesInput) (*answer[v1.SiteList], error) {
	list := v1.SiteList{Data: s.o.Sites.Sites(in.Limit + 1)}
	if list.More = len(list.Data) > in.Limit; list.More {
		list.Data = list.Data[:in.Limit]
	}
	if list.Data == nil {
		list.Data = []v1.Site{}
	}
	return answerOf(list), nil
}

type unpauseSiteInput struct {
	Site string `query:"site" required:"true" minLength:"1" maxLength:"512" doc:"As the list names it." example:"google"`
}

func (s *Server) unpauseSite(ctx context.Context, in *unpauseSiteInput) (*nothing, error) {
	if !s.o.Sites.Unpause(ctx, in.Site) {
		return nil, fmt.Errorf("%w: no site of this name is paused at this node; `postrider queue sites` lists them", queue.ErrNotFound)
	}
	s.o.Logger.Info("pause of a site ended by operator", "site", in.Site, "actor", actor(ctx))
	return nil, nil
}
