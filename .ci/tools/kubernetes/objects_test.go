package kubernetes_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// configs is where what operators copy lies.
const configs = "../../../configs"

// kinds are the objects there may be.
func kinds() map[string]func() metav1.Object {
	return map[string]func() metav1.Object{
		"apps/v1 StatefulSet":                     func() metav1.Object { return new(appsv1.StatefulSet) },
		"batch/v1 Job":                            func() metav1.Object { return new(batchv1.Job) },
		"v1 ConfigMap":                            func() metav1.Object { return new(corev1.ConfigMap) },
		"v1 Secret":                               func() metav1.Object { return new(corev1.Secret) },
		"v1 Service":                              func() metav1.Object { return new(corev1.Service) },
		"v1 ServiceAccount":                       func() metav1.Object { return new(corev1.ServiceAccount) },
		"networking.k8s.io/v1 NetworkPolicy":      func() metav1.Object { return new(networkingv1.NetworkPolicy) },
		"policy/v1 PodDisruptionBudget":           func() metav1.Object { return new(policyv1.PodDisruptionBudget) },
		"monitoring.coreos.com/v1 ServiceMonitor": func() metav1.Object { return new(monitoringv1.ServiceMonitor) },
		"monitoring.coreos.com/v1 PrometheusRule": func() metav1.Object { return new(monitoringv1.PrometheusRule) },
	}
}

// objects reads documents strictly: a field that does not exist, or is there
// twice, is an error.
func objects(t *testing.T, text string) (all []metav1.Object) {
	t.Helper()
	docs := yamlutil.NewDocumentDecoder(io.NopCloser(strings.NewReader(text)))
	defer docs.Close()
	buf := make([]byte, len(text)+1)
	for {
		n, err := docs.Read(buf)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		o, err := object(buf[:n])
		if err != nil {
			t.Fatalf("%v in\n%s", err, buf[:n])
		}
		if o != nil {
			all = append(all, o)
		}
	}
}

func object(doc []byte) (metav1.Object, error) {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return nil, err
	}
	if head.Kind == "" {
		return nil, nil // comments
	}
	made, ok := kinds()[head.APIVersion+" "+head.Kind]
	if !ok {
		return nil, fmt.Errorf("nobody expected a %s %s", head.APIVersion, head.Kind)
	}
	o := made()
	return o, yaml.UnmarshalStrict(doc, o)
}

// of returns the objects of a kind.
func of[T metav1.Object](all []metav1.Object) (some []T) {
	for _, o := range all {
		if one, ok := o.(T); ok {
			some = append(some, one)
		}
	}
	return some
}

// only returns the one object of a kind.
func only[T metav1.Object](t *testing.T, all []metav1.Object) (one T) {
	t.Helper()
	some := of[T](all)
	if len(some) != 1 {
		t.Fatalf("there are %d of %T", len(some), one)
	}
	return some[0]
}

// template is a pod that a workload makes.
type template struct {
	name   string
	labels map[string]string
	claims []corev1.PersistentVolumeClaim
	pod    *corev1.PodTemplateSpec
}

func templates(all []metav1.Object) (ts []template) {
	for _, s := range of[*appsv1.StatefulSet](all) {
		ts = append(ts, template{s.Name, s.Spec.Selector.MatchLabels, s.Spec.VolumeClaimTemplates, &s.Spec.Template})
	}
	for _, j := range of[*batchv1.Job](all) {
		ts = append(ts, template{j.Name, nil, nil, &j.Spec.Template})
	}
	return ts
}

// relay is our container of a pod.
func (p template) relay(t *testing.T) corev1.Container {
	t.Helper()
	for _, c := range append(p.pod.Spec.InitContainers, p.pod.Spec.Containers...) {
		if c.Name == "postrider" {
			return c
		}
	}
	t.Fatalf("%s has no container postrider", p.name)
	return corev1.Container{}
}

// setting is a variable of our container, empty if it is not set.
func (p template) setting(t *testing.T, name string) string {
	t.Helper()
	for _, e := range p.relay(t).Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
