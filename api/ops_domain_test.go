package api_test

import (
	"context"
	"fmt"
	"testing"

	"postrider/api"
	v1 "postrider/api/v1"
	"postrider/queue"
)

// rotations says what it was asked for.
type rotations struct{}

func (rotations) Rotate(_ context.Context, domain string, n v1.NewRotation) (v1.Rotation, error) {
	if domain == "imported.example" {
		return v1.Rotation{}, fmt.Errorf("%w: its keys were imported", api.ErrInvalid)
	}
	return v1.Rotation{Domain: domain, Done: []string{fmt.Sprint(n.Algorithm, n.Cancel)}, Data: []v1.RotationKey{}}, nil
}

func (rotations) Waiting(context.Context) (map[string]string, error) {
	return map[string]string{"shop.example": "publish_next"}, nil
}

func TestKeysOfDomainsAreRotated(t *testing.T) {
	t.Parallel()
	o := newOps(t)
	ctx := t.Context()
	for want, n := range map[string]v1.NewRotation{"false": {}, "rsafalse": {Algorithm: "rsa"}, "true": {Cancel: true}} {
		r, err := o.sock.RotateDomain(ctx, "Shop.EXAMPLE", n)
		if err != nil || r.Domain != "shop.example" || len(r.Done) != 1 || r.Done[0] != want {
			t.Errorf("%+v: %+v, %v", n, r, err)
		}
	}
	if status, text, _ := o.fetch("POST", "/v1/domains/shop.example/rotate", "Bearer "+admin(o), ""); status != 200 {
		t.Errorf("without a body: %d %s", status, text)
	}
	_, err := o.sock.RotateDomain(ctx, "shop.example", v1.NewRotation{Algorithm: "md5"})
	refused(t, err, 422, "validation_failed")
	_, err = o.sock.RotateDomain(ctx, "imported.example", v1.NewRotation{})
	refused(t, err, 422, "validation_failed")
	_, err = o.as("manager", "shop", "", queue.ScopeManage).RotateDomain(ctx, "shop.example", v1.NewRotation{})
	refused(t, err, 403, "forbidden_scope")

	for _, name := range []string{"shop.example", "calm.example"} {
		if _, err := o.sock.AddDomain(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	list, err := o.sock.Domains(ctx)
	if err != nil || len(list.Data) != 2 || list.Data[0].Keys != "" || list.Data[1].Keys != "publish_next" {
		t.Errorf("%+v, %v", list, err)
	}
}

// admin gives the secret of a key that may do everything.
func admin(o *ops) string {
	o.as("admin-key", "shop", "", queue.ScopeAdmin)
	return "admin-key"
}
