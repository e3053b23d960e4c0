package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postrider/api/access"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// Keys administers keys. Errors that wrap queue.ErrNotFound or ErrInvalid are
// told to the caller. What a caller may see and change is checked before.
type Keys interface {
	// List returns the keys of an account by id; empty: of all.
	List(ctx context.Context, account string) ([]v1.Key, error)
	Get(ctx context.Context, id string) (v1.Key, error)
	// Create makes a key of n.Account.
	Create(ctx context.Context, n v1.NewKey) (v1.NewSecretKey, error)
	// Change calls change with the key as it is, possibly more than once, and
	// keeps what that makes of it unless it returns an error, which it returns.
	Change(ctx context.Context, id string, change func(*v1.Key) error) (v1.Key, error)
	Delete(ctx context.Context, id string) error
}

func (s *Server) selfOperation(r *router) {
	register(r, operation{
		id: "get-self", method: http.MethodGet, path: "/v1/keys/self", tag: tagKeys,
		summary: "Show who calls", description: "The account and the scopes of this credential, and the key if it is one.",
	}, s.getSelf)
}

func (s *Server) keyOperations(r *router) {
	register(r, operation{
		id: "list-keys", method: http.MethodGet, path: "/v1/keys", scope: queue.ScopeKeysRead, tag: tagKeys,
		summary: "List keys", description: "Secrets are never shown.",
	}, s.listKeys)
	register(r, operation{
		id: "create-key", method: http.MethodPost, path: "/v1/keys", status: http.StatusCreated, scope: queue.ScopeKeysWrite, tag: tagKeys,
		summary:     "Create a key",
		description: "The key itself is shown in the answer and never again. It works as Bearer token, as password for SMTP and HTTP Basic, and in the headers of the compatible surfaces. Nobody can give more than it has: neither scopes, nor senders, recipients, streams or networks beyond its own.",
	}, s.createKey)
	register(r, operation{
		id: "get-key", method: http.MethodGet, path: "/v1/keys/{id}", scope: queue.ScopeKeysRead, tag: tagKeys,
		summary: "Show a key",
	}, s.getKey)
	register(r, operation{
		id: "change-key", method: http.MethodPatch, path: "/v1/keys/{id}", scope: queue.ScopeKeysWrite, tag: tagKeys,
		summary: "Change a key", description: "Changes what is there; an empty list lifts a limit. Its secret stays.",
	}, s.changeKey)
	register(r, operation{
		id: "delete-key", method: http.MethodDelete, path: "/v1/keys/{id}", status: http.StatusNoContent, scope: queue.ScopeKeysWrite, tag: tagKeys,
		summary: "Delete a key", description: "It is refused from now on.",
	}, s.deleteKey)
}

func (s *Server) getSelf(ctx context.Context, _ *struct{}) (*answer[v1.Self], error) {
	c := access.From(ctx)
	v := v1.Self{Account: c.Account, Admin: c.Admin(), Sandbox: c.Sandbox, Scopes: scopeNames(c.Scopes)}
	if s.o.Keys != nil && isKey(c.Credential) {
		k, err := s.o.Keys.Get(ctx, c.Credential)
		if err != nil {
			return nil, err
		}
		v.Key = &k
	}
	return answerOf(v), nil
}

// isKey tells keys from what the configuration calls its own, which has no
// limits.
func isKey(credential string) bool { return strings.HasPrefix(credential, "key_") }

func scopeNames(scopes []queue.Scope) []string {
	names := make([]string, 0, len(scopes))
	for _, s := range scopes {
		names = append(names, string(s))
	}
	return names
}

type listKeysInput struct {
	Account string `query:"account" maxLength:"64" doc:"Whose keys; for admins, who see all if they name none."`
}

func (s *Server) listKeys(ctx context.Context, in *listKeysInput) (*answer[v1.KeyList], error) {
	of, err := account(ctx, in.Account)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Keys.List(ctx, of)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []v1.Key{}
	}
	return answerOf(v1.KeyList{Data: list}), nil
}

type createKeyInput struct {
	Key jsonBody[v1.NewKey]
}

func (s *Server) createKey(ctx context.Context, in *createKeyInput) (*created[v1.NewSecretKey], error) {
	n := in.Key.Value
	var err error
	if n.Account, err = mine(ctx, n.Account); err != nil {
		return nil, err
	}
	g, err := s.giver(ctx)
	if err == nil {
		err = g.mayGive(v1.Key{Scopes: n.Scopes, KeyLimits: n.KeyLimits})
	}
	if err != nil {
		return nil, err
	}
	k, err := s.o.Keys.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("key created", "key", k.ID, "account", k.Account, "scopes", k.Scopes, "actor", actor(ctx))
	return createdAt("/v1/keys/"+k.ID, k), nil
}

// giver is who gives a key its rights.
type giver struct {
	caller access.Caller
	limits v1.KeyLimits // of the key that was used
}

func (s *Server) giver(ctx context.Context) (giver, error) {
	g := giver{caller: access.From(ctx)}
	if g.caller.Admin() || !isKey(g.caller.Credential) {
		return g, nil
	}
	k, err := s.o.Keys.Get(ctx, g.caller.Credential)
	g.limits = k.KeyLimits
	return g, err
}

// mayGive refuses to give a key more than its giver has.
func (g giver) mayGive(k v1.Key) error {
	for i, name := range k.Scopes {
		if !queue.Scope(name).Valid() {
			return invalidField("#/scopes/"+strconv.Itoa(i), "not_one_of", "There is no such scope: use send, read, manage, or single ones such as messages:send.")
		}
	}
	if g.caller.Admin() {
		return nil
	}
	for _, name := range k.Scopes {
		if !g.caller.May(queue.Scope(name)) {
			return refusal(http.StatusForbidden, "forbidden_scope", "This key may not give the scope "+name+", which it does not have itself.")
		}
	}
	if what := beyond(g.limits, k.KeyLimits); what != "" {
		return refusal(http.StatusForbidden, "forbidden_limit", "This key may not make one with wider limits than its own: see "+what+".").
			at("#/"+what, "not_allowed", "It must not reach beyond what your own key allows.")
	}
	return nil
}

// beyond names the limit in which a key would reach further than its giver's.
func beyond(giver, k v1.KeyLimits) string {
	for _, l := range []struct {
		name       string
		giver, key []string
	}{
		{"allowed_from", giver.AllowedFrom, k.AllowedFrom},
		{"allowed_recipients", giver.AllowedRecipients, k.AllowedRecipients},
		{"allowed_streams", giver.AllowedStreams, k.AllowedStreams},
		{"allowed_networks", giver.AllowedNetworks, k.AllowedNetworks},
	} {
		if len(l.giver) > 0 && (len(l.key) == 0 || slices.ContainsFunc(l.key, func(s string) bool { return !slices.Contains(l.giver, s) })) {
			return l.name
		}
	}
	switch {
	case giver.Sandbox && !k.Sandbox:
		return "sandbox"
	case giver.RatePerMinute > 0 && (k.RatePerMinute == 0 || k.RatePerMinute > giver.RatePerMinute):
		return "rate_per_minute"
	case giver.ExpiresAt != nil && (k.ExpiresAt == nil || k.ExpiresAt.After(*giver.ExpiresAt)):
		return "expires_at"
	}
	return ""
}

type keyIDInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) getKey(ctx context.Context, in *keyIDInput) (*answer[v1.Key], error) {
	k, err := s.ownKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return answerOf(k), nil
}

// ownKey returns a key that the caller may see.
func (s *Server) ownKey(ctx context.Context, id string) (v1.Key, error) {
	k, err := s.o.Keys.Get(ctx, id)
	if err == nil && !owns(ctx, k.Account) {
		err = queue.ErrNotFound
	}
	return k, err
}

type changeKeyInput struct {
	ID     string `path:"id" maxLength:"64"`
	Change jsonBody[v1.KeyChange]
}

func (s *Server) changeKey(ctx context.Context, in *changeKeyInput) (*answer[v1.Key], error) {
	k, err := s.ownKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	g, err := s.giver(ctx)
	if err == nil {
		err = g.mayGive(k) // what can do more than the caller is not the caller's to change
	}
	if err != nil {
		return nil, err
	}
	k, err = s.o.Keys.Change(ctx, in.ID, func(k *v1.Key) error {
		changeOf(k, in.Change.Value)
		return g.mayGive(*k)
	})
	if err != nil {
		return nil, err
	}
	s.o.Logger.Info("key changed", "key", k.ID, "account", k.Account, "scopes", k.Scopes, "actor", actor(ctx))
	return answerOf(k), nil
}

func changeOf(k *v1.Key, c v1.KeyChange) {
	set(&k.Label, c.Label)
	set(&k.Scopes, c.Scopes)
	set(&k.AllowedFrom, c.AllowedFrom)
	set(&k.AllowedRecipients, c.AllowedRecipients)
	set(&k.AllowedStreams, c.AllowedStreams)
	set(&k.AllowedNetworks, c.AllowedNetworks)
	set(&k.RatePerMinute, c.RatePerMinute)
	set(&k.Sandbox, c.Sandbox)
	if c.ExpiresAt != nil {
		k.ExpiresAt = c.ExpiresAt
	}
	if c.NeverExpires {
		k.ExpiresAt = nil
	}
}

func set[T any](into *T, v *T) {
	if v != nil {
		*into = *v
	}
}

func (s *Server) deleteKey(ctx context.Context, in *keyIDInput) (*nothing, error) {
	k, err := s.ownKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	// Nobody ends what it could not have given.
	if err := (giver{caller: access.From(ctx)}).mayGive(k); err != nil {
		return nil, err
	}
	if err := s.o.Keys.Delete(ctx, in.ID); err != nil {
		return nil, err
	}
	s.o.Logger.Info("key deleted", "key", k.ID, "account", k.Account, "actor", actor(ctx))
	return nil, nil
}
