package kubernetes_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// checkSound looks at everything that must hold of any set of objects.
func checkSound(t *testing.T, all []metav1.Object) {
	t.Helper()
	for _, o := range all {
		if errs := validation.IsDNS1123Label(o.GetName()); len(errs) > 0 {
			t.Errorf("%T %s: %v", o, o.GetName(), errs)
		}
	}
	for _, p := range templates(all) {
		checkRestricted(t, p)
		checkMounts(t, p)
		checkRelay(t, p)
	}
	checkServices(t, all)
}

// checkRestricted asks what the API server asks where a namespace enforces the
// level restricted, of each version since native sidecars.
func checkRestricted(t *testing.T, p template) {
	t.Helper()
	e, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []psa.Version{psa.MajorMinorVersion(1, 29), psa.LatestVersion()} {
		got := policy.AggregateCheckResults(e.EvaluatePod(psa.LevelVersion{Level: psa.LevelRestricted, Version: v}, &p.pod.ObjectMeta, &p.pod.Spec))
		if !got.Allowed {
			t.Errorf("%s is not restricted (%s): %s", p.name, v, got.ForbiddenDetail())
		}
	}
}

// checkMounts looks for volumes that are mounted and not there, or there and not
// mounted.
func checkMounts(t *testing.T, p template) {
	t.Helper()
	there := make(map[string]bool)
	for _, c := range p.claims {
		there[c.Name] = false
	}
	for _, v := range p.pod.Spec.Volumes {
		if _, twice := there[v.Name]; twice {
			t.Errorf("%s has the volume %s twice", p.name, v.Name)
		}
		there[v.Name] = false
	}
	for _, c := range slices.Concat(p.pod.Spec.InitContainers, p.pod.Spec.Containers) {
		for _, m := range c.VolumeMounts {
			if _, ok := there[m.Name]; !ok {
				t.Errorf("%s/%s mounts %s, which is not there", p.name, c.Name, m.Name)
			}
			there[m.Name] = true
		}
	}
	for v, mounted := range there {
		if !mounted {
			t.Errorf("%s has the volume %s, which nobody mounts", p.name, v)
		}
	}
}

// checkRelay looks at our container and its pod.
func checkRelay(t *testing.T, p template) {
	t.Helper()
	c, spec := p.relay(t), p.pod.Spec
	if on := spec.AutomountServiceAccountToken; on == nil || *on {
		t.Errorf("%s has a token for the API, which nobody needs", p.name)
	}
	if links := spec.EnableServiceLinks; links == nil || *links {
		t.Errorf("%s gets variables of Services", p.name)
	}
	if ro := c.SecurityContext.ReadOnlyRootFilesystem; ro == nil || !*ro {
		t.Errorf("%s can write to its image", p.name)
	}
	if user := cmpUser(c.SecurityContext.RunAsUser, spec.SecurityContext.RunAsUser); user != 65532 {
		t.Errorf("%s runs as %d", p.name, user)
	}
	if group := spec.SecurityContext.FSGroup; group == nil || *group != 65532 {
		t.Errorf("%s cannot read its Secrets", p.name)
	}
	if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s asks for no memory", p.name)
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPath == p.setting(t, "POSTRIDER_DATA_DIR") && !m.ReadOnly
	}) {
		t.Errorf("%s has no volume where its data is", p.name)
	}
	checkProbes(t, p, c)
	checkVariables(t, p, c)
	checkGrace(t, p)
}

func cmpUser(users ...*int64) int64 {
	for _, u := range users {
		if u != nil {
			return *u
		}
	}
	return 0
}

// checkProbes sees that probes are HTTP, which leaves no line in the log, and ask
// a port where everybody may.
func checkProbes(t *testing.T, p template, c corev1.Container) {
	t.Helper()
	probes := map[string]*corev1.Probe{"/livez": c.StartupProbe}
	if c.LivenessProbe != nil {
		probes["/livez "] = c.LivenessProbe
	}
	if c.ReadinessProbe != nil {
		probes["/readyz"] = c.ReadinessProbe
	}
	for path, probe := range probes {
		if probe == nil || probe.HTTPGet == nil {
			t.Errorf("%s has no HTTP probe of %s", p.name, path)
			continue
		}
		port := portOf(c, probe.HTTPGet.Port)
		if probe.HTTPGet.Path != strings.TrimSpace(path) || port != 8025 || p.setting(t, "POSTRIDER_HTTP_LISTEN") != ":8025" {
			t.Errorf("%s asks %s at port %d", p.name, probe.HTTPGet.Path, port)
		}
		if probe.TimeoutSeconds < 3 {
			t.Errorf("%s waits %d s for %s, which may take 2", p.name, probe.TimeoutSeconds, path)
		}
	}
}

// portOf is the number of a port of the container, 0 if there is none.
func portOf(c corev1.Container, port intstr.IntOrString) int32 {
	for _, p := range c.Ports {
		if p.Name == port.StrVal || p.ContainerPort == port.IntVal {
			return p.ContainerPort
		}
	}
	return 0
}

// checkVariables sees that nothing secret is in the environment, and that files
// that variables name are mounted.
func checkVariables(t *testing.T, p template, c corev1.Container) {
	t.Helper()
	seen := make(map[string]bool)
	for _, e := range c.Env {
		if seen[e.Name] || e.ValueFrom != nil {
			t.Errorf("%s sets %s twice, or from elsewhere", p.name, e.Name)
		}
		seen[e.Name] = true
		file := strings.HasSuffix(e.Name, "_FILE") || strings.HasPrefix(e.Name, "POSTRIDER_TLS_") || e.Name == "POSTRIDER_CONFIG" || e.Name == "POSTRIDER_DKIM_KEYS_DIR"
		if file && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.ReadOnly && (e.Value == m.MountPath || strings.HasPrefix(e.Value, m.MountPath+"/"))
		}) {
			t.Errorf("%s: %s names %s, which is not mounted", p.name, e.Name, e.Value)
		}
	}
	if len(c.EnvFrom) > 0 {
		t.Errorf("%s takes its environment from elsewhere", p.name)
	}
}

// checkGrace sees that the pod is not killed before the relay has ended by itself:
// after the delay, the drain, and 10 s for what is in the air.
func checkGrace(t *testing.T, p template) {
	t.Helper()
	need := 10 * time.Second
	for _, name := range []string{"POSTRIDER_SHUTDOWN_DELAY", "POSTRIDER_SHUTDOWN_DRAIN"} {
		if v := p.setting(t, name); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil {
				t.Error(err)
			}
			need += d
		}
	}
	if grace := time.Duration(*p.pod.Spec.TerminationGracePeriodSeconds) * time.Second; grace < need+5*time.Second {
		t.Errorf("%s is killed after %v, and may take %v", p.name, grace, need)
	}
}

// checkServices sees that workloads select their pods and Services lead to ports
// of theirs.
func checkServices(t *testing.T, all []metav1.Object) {
	t.Helper()
	services := of[*corev1.Service](all)
	for _, p := range templates(all) {
		if !within(p.labels, p.pod.Labels) {
			t.Errorf("%s does not select its own pods", p.name)
		}
		every := slices.Concat(p.pod.Spec.InitContainers, p.pod.Spec.Containers)
		for _, s := range services {
			if !within(s.Spec.Selector, p.pod.Labels) {
				t.Errorf("the Service %s selects nothing", s.Name)
			}
			for _, port := range s.Spec.Ports {
				if !slices.ContainsFunc(every, func(c corev1.Container) bool { return portOf(c, port.TargetPort) != 0 }) {
					t.Errorf("the Service %s leads to %s, which is no port", s.Name, port.TargetPort.String())
				}
			}
		}
	}
	for _, s := range of[*appsv1.StatefulSet](all) {
		named := slices.ContainsFunc(services, func(v *corev1.Service) bool { return v.Name == s.Spec.ServiceName && v.Spec.ClusterIP == "None" })
		if !named {
			t.Errorf("%s has no headless Service %s", s.Name, s.Spec.ServiceName)
		}
	}
}

// within reports whether labels hold the selector, which must ask for something.
func within(selector, labels map[string]string) bool {
	for k := range maps.Keys(selector) {
		if labels[k] != selector[k] {
			return false
		}
	}
	return len(selector) > 0 || len(labels) > 0 && selector == nil
}
