package kubernetes_test

import (
	"os"
	"path/filepath"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// plain reads manifests.
func plain(t *testing.T, name string) []metav1.Object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(configs, "kubernetes", name))
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, string(text))
	if len(all) == 0 {
		t.Fatalf("%s holds nothing", name)
	}
	return all
}

func TestPlainManifestsAreSound(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(configs, "kubernetes", "*.yaml"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			checkSound(t, plain(t, filepath.Base(f)))
		})
	}
}

// What the manifests mount of Secrets is in the Secrets that they show.
func TestPlainManifestsNameSecretsThatTheyShow(t *testing.T) {
	t.Parallel()
	for _, f := range []string{"relay.yaml", "sidecar.yaml", "job.yaml"} {
		all := plain(t, f)
		secret, p := only[*corev1.Secret](t, all), templates(all)[0]
		for _, v := range p.pod.Spec.Volumes {
			if v.Secret != nil && v.Secret.SecretName != secret.Name {
				t.Errorf("%s mounts %s", f, v.Secret.SecretName)
			}
		}
		for _, e := range p.relay(t).Env {
			const dir = "/etc/postrider/secrets/"
			if len(e.Value) > len(dir) && e.Value[:len(dir)] == dir && secret.StringData[e.Value[len(dir):]] == "" {
				t.Errorf("%s: %s names %s, which the Secret lacks", f, e.Name, e.Value)
			}
		}
	}
}

// A native sidecar is an init container that is restarted: others wait for its
// startup probe, and a Job does not wait for its end.
func TestSidecarsAreNativeAndTakeMailFromTheirPodAlone(t *testing.T) {
	t.Parallel()
	for _, f := range []string{"sidecar.yaml", "job.yaml"} {
		p := templates(plain(t, f))[0]
		first := p.pod.Spec.InitContainers[0]
		if first.Name != "postrider" || first.RestartPolicy == nil || *first.RestartPolicy != corev1.ContainerRestartPolicyAlways || first.StartupProbe == nil {
			t.Errorf("%s: %s is no native sidecar", f, first.Name)
		}
		if at, nets := p.setting(t, "POSTRIDER_SUBMISSION_LISTEN"), p.setting(t, "POSTRIDER_TRUSTED_NETWORKS"); at != "127.0.0.1:2525" || nets != "127.0.0.0/8" {
			t.Errorf("%s takes mail at %s from %s", f, at, nets)
		}
		if p.setting(t, "POSTRIDER_ALLOWED_SENDERS") == "" {
			t.Errorf("%s may send as anybody", f)
		}
	}
}

func TestJobEndsAndTakesItsMailAlong(t *testing.T) {
	t.Parallel()
	all := plain(t, "job.yaml")
	j, p := only[*batchv1.Job](t, all), templates(all)[0]
	if j.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever || p.setting(t, "POSTRIDER_SHUTDOWN_DRAIN") == "" {
		t.Error("what the Job sends ends with it")
	}
}

func TestPlainPolicyAndMonitorFitTheRelay(t *testing.T) {
	t.Parallel()
	relay := plain(t, "relay.yaml")
	checkPolicy(t, only[*networkingv1.NetworkPolicy](t, plain(t, "networkpolicy.yaml")), templates(relay)[0])
	checkMonitor(t, only[*monitoringv1.ServiceMonitor](t, plain(t, "servicemonitor.yaml")), of[*corev1.Service](relay))
}
