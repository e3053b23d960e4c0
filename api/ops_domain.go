package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postrider/api/domain"
	v1 "postrider/api/v1"
	"postrider/queue"
)

func (s *Server) domainOperations(r *router) {
	one := "/v1/domains/{domain}"
	register(r, operation{
		id: "get-domain-records", method: http.MethodGet, path: one + "/records", scope: queue.ScopeDomainsRead, operator: true, tag: tagDomains,
		summary: "Show the records to publish", description: "What a sending domain should have in the DNS, ready to paste. Keys that are missing are made, if that is allowed. The domain need not be on the list.",
	}, s.getRecords)
	if s.o.Rotations != nil {
		register(r, operation{
			id: "rotate-domain", method: http.MethodPost, path: one + "/rotate", scope: queue.ScopeDomainsWrite, operator: true, tag: tagDomains,
			summary: "Change a domain's DKIM keys", description: "Makes the next keys, unless there are some, looks all records up, and takes the steps that may be taken now: a next key signs as soon as its record is published, never before. " +
				"The same is done every few minutes without being asked, so that it is enough to publish what this answers. Asking again does no harm.",
		}, s.rotateDomain)
	}
	if s.o.Registry == nil {
		return
	}
	register(r, operation{
		id: "list-domains", method: http.MethodGet, path: "/v1/domains", scope: queue.ScopeDomainsRead, operator: true, tag: tagDomains,
		summary: "List sending domains", description: "Those that were added, as they were found when they were verified last.",
	}, s.listDomains)
	register(r, operation{
		id: "create-domain", method: http.MethodPost, path: "/v1/domains", status: http.StatusCreated, scope: queue.ScopeDomainsWrite, operator: true, tag: tagDomains,
		summary: "Add a sending domain", description: "Puts it on the list. Who may send as it is said by accounts and keys.", conflicts: true,
	}, s.createDomain)
	register(r, operation{
		id: "get-domain", method: http.MethodGet, path: one, scope: queue.ScopeDomainsRead, operator: true, tag: tagDomains,
		summary: "Show a sending domain",
	}, s.getDomain)
	register(r, operation{
		id: "delete-domain", method: http.MethodDelete, path: one, status: http.StatusNoContent, scope: queue.ScopeDomainsWrite, operator: true, tag: tagDomains,
		summary: "Remove a sending domain", description: "Takes it off the list. Its keys stay, so that what is on its way can still be verified.",
	}, s.deleteDomain)
	if s.o.LookupTXT != nil {
		register(r, operation{
			id: "verify-domain", method: http.MethodPost, path: one + "/verify", scope: queue.ScopeDomainsWrite, operator: true, tag: tagDomains,
			summary: "Look a domain's records up now", description: "Says of each record whether it is published, what the DNS answers, and what to do. The domain need not be on the list.",
		}, s.verifyDomain)
	}
}

func (s *Server) domainBook() *domain.Book { return domain.NewBook(s.o.Registry, s.o.Now) }

type domainInput struct {
	Domain string `path:"domain" maxLength:"255" example:"example.com"`
}

func (s *Server) getRecords(ctx context.Context, in *domainInput) (*answer[v1.Records], error) {
	name, err := domain.Normalize(in.Domain)
	if err != nil {
		return nil, domainError(err)
	}
	records, err := s.o.Domains.Records(ctx, name)
	if err != nil {
		return nil, err
	}
	return answerOf(v1.Records{Domain: name, Data: records}), nil
}

// domainError marks what the caller can mend.
func domainError(err error) error {
	if errors.Is(err, domain.ErrInvalid) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return err
}

func (s *Server) listDomains(ctx context.Context, _ *struct{}) (*answer[v1.DomainList], error) {
	list, err := s.domainBook().List(ctx)
	if err != nil {
		return nil, err
	}
	if s.o.Rotations != nil {
		waits, err := s.o.Rotations.Waiting(ctx)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].Keys = waits[list[i].Name]
		}
	}
	return answerOf(v1.DomainList{Data: list}), nil
}

// Rotations changes the DKIM keys of domains.
type Rotations interface {
	// Rotate does what may be done now of what is asked for; ErrInvalid if there
	// are no keys that it could be done to.
	Rotate(ctx context.Context, domain string, n v1.NewRotation) (v1.Rotation, error)
	// Waiting says of the domains whose keys wait for something for what, as
	// v1.Domain.Keys does.
	Waiting(ctx context.Context) (map[string]string, error)
}

type rotateDomainInput struct {
	Domain   string `path:"domain" maxLength:"255" example:"example.com"`
	Rotation optionalBody[v1.NewRotation]
}

func (s *Server) rotateDomain(ctx context.Context, in *rotateDomainInput) (*answer[v1.Rotation], error) {
	name, err := domain.Normalize(in.Domain)
	if err != nil {
		return nil, domainError(err)
	}
	done, err := s.o.Rotations.Rotate(ctx, name, in.Rotation.Value)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("dkim keys rotated by operator", "domain", done.Domain, "done", done.Done, "actor", actor(ctx))
	return answerOf(done), nil
}

type createDomainInput struct {
	Domain jsonBody[v1.NewDomain]
}

func (s *Server) createDomain(ctx context.Context, in *createDomainInput) (*created[v1.Domain], error) {
	d, err := s.domainBook().Add(ctx, in.Domain.Value.Name)
	if err != nil {
		return nil, domainError(err)
	}
	s.o.Logger.Info("domain added", "domain", d.Name, "actor", actor(ctx))
	return createdAt("/v1/domains/"+d.Name, d), nil
}

func (s *Server) getDomain(ctx context.Context, in *domainInput) (*answer[v1.Domain], error) {
	d, err := s.domainBook().Get(ctx, in.Domain)
	if err != nil {
		return nil, domainError(err)
	}
	return answerOf(d), nil
}

func (s *Server) deleteDomain(ctx context.Context, in *domainInput) (*nothing, error) {
	if err := s.domainBook().Remove(ctx, in.Domain); err != nil {
		return nil, domainError(err)
	}
	s.o.Logger.Info("domain removed", "domain", in.Domain, "actor", actor(ctx))
	return nil, nil
}

// verifyTime bounds how long a name server is waited for.
const verifyTime = 20 * time.Second

func (s *Server) verifyDomain(ctx context.Context, in *domainInput) (*answer[v1.Domain], error) {
	name, err := domain.Normalize(in.Domain)
	if err != nil {
		return nil, domainError(err)
	}
	records, err := s.o.Domains.Records(ctx, name)
	if err != nil {
		return nil, err
	}
	lookup, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	found := domain.Check(lookup, s.o.LookupTXT, records)
	d, err := s.domainBook().Found(ctx, name, found)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("domain looked up", "domain", name, "status", d.Status)
	return answerOf(d), nil
}
