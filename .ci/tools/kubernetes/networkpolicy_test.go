package kubernetes_test

import (
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// own are the labels of the namespace that the relay is in.
var own = map[string]string{"kubernetes.io/metadata.name": "mail"}

// peer is a pod that wants in.
type peer struct{ namespace, pod map[string]string }

// checkPolicy looks at a policy as it is without any wishes.
func checkPolicy(t *testing.T, p *networkingv1.NetworkPolicy, of template) {
	t.Helper()
	relay := of.relay(t)
	if !within(p.Spec.PodSelector.MatchLabels, of.pod.Labels) {
		t.Errorf("the policy does not concern %s", of.name)
	}
	if want := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}; !slices.Equal(p.Spec.PolicyTypes, want) {
		t.Errorf("the policy is about %v", p.Spec.PolicyTypes)
	}
	neighbour := peer{namespace: own, pod: map[string]string{"app": "shop"}}
	stranger := peer{namespace: map[string]string{"kubernetes.io/metadata.name": "other"}, pod: map[string]string{"app": "shop"}}
	prometheus := peer{namespace: map[string]string{"kubernetes.io/metadata.name": "monitoring"}, pod: map[string]string{"app": "prometheus"}}
	for _, c := range []struct {
		who  string
		peer peer
		port int32
		want bool
	}{
		{"a neighbour", neighbour, 2525, true}, {"a neighbour", neighbour, 8025, true}, {"a neighbour", neighbour, 8026, false}, {"a neighbour", neighbour, 1143, false},
		{"a stranger", stranger, 2525, false}, {"a stranger", stranger, 8025, false}, {"a stranger", stranger, 8026, false},
		{"Prometheus", prometheus, 8026, true}, {"Prometheus", prometheus, 2525, false},
	} {
		if got := lets(p.Spec.Ingress, relay, c.peer, c.port); got != c.want {
			t.Errorf("%s reaches port %d: %v", c.who, c.port, got)
		}
	}
	for _, c := range []struct {
		to   string
		port int32
		want bool
	}{
		{"192.0.2.1", 25, true}, {"192.0.2.1", 465, true}, {"192.0.2.1", 587, true}, {"192.0.2.1", 443, true}, {"2001:db8::1", 25, true},
		{"10.96.0.10", 53, true}, {"192.0.2.1", 22, false}, {"192.0.2.1", 80, false}, {"10.0.0.5", 6379, false},
		{"169.254.169.254", 443, false}, {"fe80::a9fe:a9fe", 443, false}, {"fd00:ec2::254", 443, false},
	} {
		if got := goes(p.Spec.Egress, c.to, c.port); got != c.want {
			t.Errorf("the relay reaches %s, port %d: %v", c.to, c.port, got)
		}
	}
}

// lets reports whether a pod gets at a port of the container.
func lets(rules []networkingv1.NetworkPolicyIngressRule, relay corev1.Container, who peer, port int32) bool {
	return slices.ContainsFunc(rules, func(r networkingv1.NetworkPolicyIngressRule) bool {
		return (len(r.From) == 0 || slices.ContainsFunc(r.From, who.is)) &&
			(len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return portOf(relay, *p.Port) == port }))
	})
}

// is reports whether a pod is meant by a peer of a policy.
func (w peer) is(p networkingv1.NetworkPolicyPeer) bool {
	if p.IPBlock != nil {
		return false
	}
	if p.NamespaceSelector == nil && !within(own, w.namespace) {
		return false
	}
	return chosen(p.NamespaceSelector, w.namespace) && chosen(p.PodSelector, w.pod)
}

// chosen reports whether labels are those that a selector asks for; nil asks for
// none.
func chosen(s *metav1.LabelSelector, of map[string]string) bool {
	if s == nil {
		return true
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(of))
}

// goes reports whether the relay gets at a port of an address.
func goes(rules []networkingv1.NetworkPolicyEgressRule, to string, port int32) bool {
	addr := netip.MustParseAddr(to)
	return slices.ContainsFunc(rules, func(r networkingv1.NetworkPolicyEgressRule) bool {
		return (len(r.To) == 0 || slices.ContainsFunc(r.To, func(p networkingv1.NetworkPolicyPeer) bool { return p.IPBlock != nil && holds(p.IPBlock, addr) })) &&
			(len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.IntVal == port }))
	})
}

func holds(b *networkingv1.IPBlock, addr netip.Addr) bool {
	return netip.MustParsePrefix(b.CIDR).Contains(addr) &&
		!slices.ContainsFunc(b.Except, func(e string) bool { return netip.MustParsePrefix(e).Contains(addr) })
}
