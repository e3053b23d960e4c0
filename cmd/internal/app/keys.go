package app

import (
	"context"
	"fmt"
	"net/netip"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/queue"
	"postrider/relay/auth"
)

// keys is the administration of keys as the API wants it.
type keys struct {
	auth *auth.Authenticator
}

var _ api.Keys = keys{}

func (s keys) List(ctx context.Context, account string) ([]v1.Key, error) {
	list, err := s.auth.Keys(ctx, account)
	if err != nil {
		return nil, told(err)
	}
	out := make([]v1.Key, 0, len(list))
	for _, k := range list {
		out = append(out, keyOf(k))
	}
	return out, nil
}

func (s keys) Get(ctx context.Context, id string) (v1.Key, error) {
	k, err := s.auth.Key(ctx, id)
	return keyOf(k), told(err)
}

func (s keys) Create(ctx context.Context, n v1.NewKey) (v1.NewSecretKey, error) {
	limits, err := limitsOf(n.KeyLimits)
	if err != nil {
		return v1.NewSecretKey{}, err
	}
	secret, k, err := s.auth.CreateKey(ctx, auth.NewKey{Account: n.Account, Label: n.Label, Scopes: scopesOf(n.Scopes), KeyLimits: limits})
	if err != nil {
		return v1.NewSecretKey{}, told(err)
	}
	return v1.NewSecretKey{Key: keyOf(k), Secret: secret}, nil
}

func (s keys) Change(ctx context.Context, id string, change func(*v1.Key) error) (v1.Key, error) {
	var failed error
	k, err := s.auth.UpdateKey(ctx, id, func(k *auth.Key) {
		v := keyOf(*k)
		if failed = change(&v); failed != nil {
			return
		}
		var limits auth.KeyLimits
		if limits, failed = limitsOf(v.KeyLimits); failed == nil {
			k.Label, k.Scopes, k.KeyLimits = v.Label, scopesOf(v.Scopes), limits
		}
	})
	if failed != nil {
		return v1.Key{}, failed
	}
	return keyOf(k), told(err)
}

func (s keys) Delete(ctx context.Context, id string) error { return told(s.auth.DeleteKey(ctx, id)) }

func keyOf(k auth.Key) v1.Key {
	v := v1.Key{ID: k.ID, Account: k.Account, Label: k.Label, CreatedAt: k.Created, KeyLimits: v1.KeyLimits{
		AllowedFrom: k.AllowedSenders, AllowedRecipients: k.AllowedRecipients, AllowedStreams: k.AllowedStreams,
		RatePerMinute: k.RatePerMinute, Sandbox: k.Sandbox,
	}}
	for _, scope := range k.Scopes {
		v.Scopes = append(v.Scopes, string(scope))
	}
	for _, n := range k.Networks {
		v.AllowedNetworks = append(v.AllowedNetworks, n.String())
	}
	if !k.ExpiresAt.IsZero() {
		v.ExpiresAt = &k.ExpiresAt
	}
	return v
}

func scopesOf(names []string) []queue.Scope {
	var scopes []queue.Scope
	for _, n := range names {
		scopes = append(scopes, queue.Scope(n))
	}
	return scopes
}

func limitsOf(v v1.KeyLimits) (auth.KeyLimits, error) {
	l := auth.KeyLimits{
		AllowedSenders: v.AllowedFrom, AllowedRecipients: v.AllowedRecipients, AllowedStreams: v.AllowedStreams,
		RatePerMinute: v.RatePerMinute, Sandbox: v.Sandbox,
	}
	if v.ExpiresAt != nil {
		l.ExpiresAt = *v.ExpiresAt
	}
	for _, text := range v.AllowedNetworks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return l, fmt.Errorf("%w: allowed_networks: write networks as 192.0.2.0/24 or 2001:db8::/32", api.ErrInvalid)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		l.Networks = append(l.Networks, p.Masked())
	}
	return l, nil
}
