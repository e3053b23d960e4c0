package kubernetes_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = configs + "/helm/postrider"

// Sets of values that people use.
const (
	redisValues = `
replicas: 3
hostname: mail.example.com
secretFiles:
  POSTRIDER_STORE: {secret: mail, key: redis-url}
  POSTRIDER_ACCOUNTS: {secret: mail, key: accounts}
`
	ephemeralValues = `
persistence: {enabled: false}
shutdown: {drainSeconds: 120}
settings: {POSTRIDER_TRUSTED_NETWORKS: 10.42.0.0/16, POSTRIDER_ALLOWED_SENDERS: example.com}
`
	everythingValues = `
image: {repository: registry.example.com/mail/postrider, digest: "sha256:` + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" + `", pullSecrets: [registry], pullPolicy: Always}
replicas: 1
hostname: mail.example.com
settings: {POSTRIDER_ALLOWED_SENDERS: "example.com,example.org", POSTRIDER_LOG_LEVEL: warn}
secretFiles:
  POSTRIDER_ACCOUNTS: {secret: mail, key: accounts}
  POSTRIDER_API_KEY: {secret: mail, key: api-key}
  POSTRIDER_SMARTHOST: {secret: provider, key: url}
config:
  routes:
    - {match: example.net, via: "smtp://relay.example.net:25"}
tls: {secretName: mail-tls}
dkim: {secretName: mail-dkim}
folders: {enabled: true}
persistence: {size: 20Gi, storageClassName: fast, accessModes: [ReadWriteOncePod], whenDeleted: Delete}
shutdown: {delaySeconds: 20}
service: {type: LoadBalancer, annotations: {example.com/internal: "true"}}
serviceAccount: {name: mailer, annotations: {example.com/who: mail}}
networkPolicy:
  clients: [{namespaceSelector: {matchLabels: {mail: "yes"}}}]
  monitoring: [{podSelector: {matchLabels: {app: prometheus}}}]
  mailPorts: [587]
  extraEgress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 6379}]}]
metrics:
  serviceMonitor: {enabled: true, interval: 15s, labels: {release: prometheus}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}
  dashboard: {enabled: true}
podDisruptionBudget: {enabled: true}
resources: {requests: {cpu: 1, memory: 128Mi}, limits: {cpu: "2", memory: 1Gi}}
podAnnotations: {example.com/a: b}
podLabels: {team: mail}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: mail, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
priorityClassName: mail
topologySpreadConstraints: [{maxSkew: 2, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]
`
)

func valueSets() map[string]string {
	return map[string]string{
		"default": "", "redis": redisValues, "ephemeral": ephemeralValues, "everything": everythingValues,
		"existing claim": "persistence: {existingClaim: mail-data}", "without policy and account": "{networkPolicy: {enabled: false}, serviceAccount: {create: false}}",
	}
}

// render is `helm template`.
func render(release, values string) (files map[string]string, err error) {
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		return nil, err
	}
	given, err := common.ReadValues([]byte(values))
	if err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, given, common.ReleaseOptions{Name: release, Namespace: "mail", IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, err
	}
	return (&engine.Engine{Strict: true}).Render(c, all)
}

func rendered(t *testing.T, values string) (all []metav1.Object, notes string) {
	t.Helper()
	files, err := render("mail", values)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch path.Ext(name) {
		case ".yaml":
			all = append(all, objects(t, files[name])...)
		case ".txt":
			notes = files[name]
		}
	}
	return all, notes
}

func TestChartMakesSoundObjects(t *testing.T) {
	t.Parallel()
	for name, values := range valueSets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, notes := rendered(t, values)
			checkSound(t, all)
			for _, o := range all {
				if o.GetNamespace() != "" || !strings.HasPrefix(o.GetName(), "mail") || o.GetLabels()["app.kubernetes.io/instance"] != "mail" {
					t.Errorf("%T %s/%s has labels %v", o, o.GetNamespace(), o.GetName(), o.GetLabels())
				}
			}
			if !strings.Contains(notes, "mail-postrider.mail.svc, port 2525") {
				t.Errorf("the notes do not say where to send to:\n%s", notes)
			}
			if len(of[*corev1.Secret](all)) > 0 {
				t.Error("the chart makes Secrets: they are the operator's")
			}
		})
	}
}

func TestChartIsCleanToHelmsLinter(t *testing.T) {
	t.Parallel()
	for name, values := range valueSets() {
		given, err := common.ReadValues([]byte(values))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.RunAll(chartDir, given, "mail").Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// A fault is told by helm, not by a pod that does not start.
func TestChartRefusesBadValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, says string }{
		"a key that is none":                {"replica: 2", "replica"},
		"a setting that is none":            {"settings: {POSTRIDER_ALOWED_SENDERS: example.com}", "POSTRIDER_ALOWED_SENDERS"},
		"a setting of another image":        {"settings: {RELAYHOST: example.com}", "RELAYHOST"},
		"a setting that the chart makes":    {"settings: {POSTRIDER_DATA_DIR: /tmp}", "POSTRIDER_DATA_DIR"},
		"a setting that is a number":        {"settings: {POSTRIDER_RATE_PER_HOUR: 100}", "POSTRIDER_RATE_PER_HOUR"},
		"passwords among the settings":      {`settings: {POSTRIDER_ACCOUNTS: "shop:secret"}`, "POSTRIDER_ACCOUNTS"},
		"an admin key among the settings":   {"settings: {POSTRIDER_API_KEY: secret}", "POSTRIDER_API_KEY"},
		"a password in a smart host":        {`settings: {POSTRIDER_SMARTHOST: "smtp://user:secret@smtp.example.net"}`, "POSTRIDER_SMARTHOST"},
		"a password in the file":            {"config: {accounts: [{name: shop, password: secret}]}", "password"},
		"a secret by value":                 {"secretFiles: {POSTRIDER_ACCOUNTS: shop-secret}", "POSTRIDER_ACCOUNTS"},
		"a secret without a key":            {"secretFiles: {POSTRIDER_ACCOUNTS: {secret: mail}}", "key"},
		"a secret for no setting":           {"secretFiles: {PASSWORD: {secret: mail, key: x}}", "PASSWORD"},
		"a setting twice":                   {`{settings: {POSTRIDER_SMARTHOST: "smtp://h:25"}, secretFiles: {POSTRIDER_SMARTHOST: {secret: mail, key: x}}}`, "leave one"},
		"several that do not share a store": {"replicas: 2", "POSTRIDER_STORE"},
		"folders without a certificate":     {"folders: {enabled: true}", "tls.secretName"},
		"a name with an underscore":         {"tls: {secretName: mail_tls}", "secretName"},
		"a host name that is not full":      {"hostname: mail", "hostname"},
		"a size that is none":               {"persistence: {size: much}", "size"},
		"a volume that many mount":          {"persistence: {accessModes: [ReadWriteMany]}", "accessModes"},
		"a drain without end":               {"shutdown: {drainSeconds: 86400}", "drainSeconds"},
		"a port that is none":               {"networkPolicy: {mailPorts: [0]}", "mailPorts"},
		"an image that is none":             {"image: {repository: \"\"}", "repository"},
	} {
		if _, err := render("mail", c.values); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestChartKeepsTheQueueWhereItStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values          string
		claims          int
		empty, existing bool
		warns           bool
	}{
		"default":        {"", 1, false, false, false},
		"redis":          {redisValues, 0, true, false, false},
		"ephemeral":      {ephemeralValues, 0, true, false, true},
		"existing claim": {"persistence: {existingClaim: mail-data}", 0, false, true, false},
	} {
		all, notes := rendered(t, c.values)
		p := templates(all)[0]
		empty, existing := false, false
		for _, v := range p.pod.Spec.Volumes {
			empty = empty || v.EmptyDir != nil
			existing = existing || v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == "mail-data"
		}
		if len(p.claims) != c.claims || empty != c.empty || existing != c.existing {
			t.Errorf("%s: %d claims, empty %v, existing %v", name, len(p.claims), empty, existing)
		}
		if strings.Contains(notes, "WARNING") != c.warns {
			t.Errorf("%s: the notes say\n%s", name, notes)
		}
	}
}

func TestChartSpreadsSeveralNodes(t *testing.T) {
	t.Parallel()
	all, _ := rendered(t, redisValues)
	s := only[*appsv1.StatefulSet](t, all)
	if *s.Spec.Replicas != 3 || len(s.Spec.Template.Spec.TopologySpreadConstraints) != 2 {
		t.Errorf("%d replicas, spread %v", *s.Spec.Replicas, s.Spec.Template.Spec.TopologySpreadConstraints)
	}
	b := only[*policyv1.PodDisruptionBudget](t, all)
	if b.Spec.MaxUnavailable.IntValue() != 1 || !within(b.Spec.Selector.MatchLabels, s.Spec.Template.Labels) {
		t.Errorf("the budget is %+v", b.Spec)
	}
	one, _ := rendered(t, "")
	if n := len(of[*policyv1.PodDisruptionBudget](one)); n != 0 {
		t.Errorf("one node has %d budgets", n)
	}
}

func TestChartMountsSecretsAndNamesThemByFile(t *testing.T) {
	t.Parallel()
	all, _ := rendered(t, everythingValues)
	p := templates(all)[0]
	for name, want := range map[string]string{
		"POSTRIDER_ACCOUNTS_FILE": "/etc/postrider/secrets/POSTRIDER_ACCOUNTS", "POSTRIDER_SMARTHOST_FILE": "/etc/postrider/secrets/POSTRIDER_SMARTHOST",
		"POSTRIDER_TLS_KEY": "/etc/postrider/tls/tls.key", "POSTRIDER_CONFIG": "/etc/postrider/config/postrider.yaml",
		"POSTRIDER_SUBMISSION_LISTEN": ":2525,starttls://:2587,tls://:2465", "POSTRIDER_ALLOWED_SENDERS": "example.com,example.org", "POSTRIDER_SHUTDOWN_DELAY": "20s",
	} {
		if got := p.setting(t, name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	var sources []string
	for _, v := range p.pod.Spec.Volumes {
		if v.Name != "secrets" {
			continue
		}
		for _, s := range v.Projected.Sources {
			sources = append(sources, s.Secret.Name+"/"+s.Secret.Items[0].Key+" "+s.Secret.Items[0].Path)
		}
	}
	if want := []string{"mail/accounts POSTRIDER_ACCOUNTS", "mail/api-key POSTRIDER_API_KEY", "provider/url POSTRIDER_SMARTHOST"}; !slices.Equal(sources, want) {
		t.Errorf("it mounts %q", sources)
	}
	if image := p.relay(t).Image; !strings.HasPrefix(image, "registry.example.com/mail/postrider@sha256:0123") {
		t.Errorf("the image is %s", image)
	}
	var file map[string]any
	for _, m := range of[*corev1.ConfigMap](all) {
		if text, ok := m.Data["postrider.yaml"]; ok {
			if err := yaml.UnmarshalStrict([]byte(text), &file); err != nil {
				t.Error(err)
			}
		}
	}
	if len(file) != 1 || file["routes"] == nil {
		t.Errorf("the configuration file is %v", file)
	}
}

// A change of the configuration starts the pods anew.
func TestChartStartsPodsAnewForANewConfiguration(t *testing.T) {
	t.Parallel()
	sum := func(values string) string {
		all, _ := rendered(t, values)
		return templates(all)[0].pod.Annotations["checksum/config"]
	}
	one, other := sum("config: {log: {level: info}}"), sum("config: {log: {level: debug}}")
	if one == "" || one == other {
		t.Errorf("the sums are %q and %q", one, other)
	}
}

func TestChartIsMonitored(t *testing.T) {
	t.Parallel()
	all, _ := rendered(t, everythingValues)
	m := only[*monitoringv1.ServiceMonitor](t, all)
	checkMonitor(t, m, of[*corev1.Service](all))
	if m.Labels["release"] != "prometheus" || m.Spec.Endpoints[0].Interval != "15s" {
		t.Errorf("the monitor is %+v", m)
	}
	rules := only[*monitoringv1.PrometheusRule](t, all)
	if n := len(rules.Spec.Groups); n != 1 || len(rules.Spec.Groups[0].Rules) != len(alerts(t)) {
		t.Errorf("%d groups of alerts", n)
	}
	if !strings.Contains(rules.Spec.Groups[0].Rules[0].Annotations["summary"], "{{ $labels.instance }}") {
		t.Error("Helm ate what Prometheus is to fill in")
	}
	dashboards := 0
	for _, c := range of[*corev1.ConfigMap](all) {
		if c.Labels["grafana_dashboard"] == "1" {
			dashboards++
			checkDashboard(t, []byte(c.Data["postrider.json"]))
		}
	}
	if dashboards != 1 {
		t.Errorf("%d dashboards", dashboards)
	}
}

// checkMonitor sees that a monitor finds one Service with its port, and gives the
// job the name that the alerts look for.
func checkMonitor(t *testing.T, m *monitoringv1.ServiceMonitor, services []*corev1.Service) {
	t.Helper()
	found := 0
	for _, s := range services {
		if !within(m.Spec.Selector.MatchLabels, s.Labels) {
			continue
		}
		found++
		if s.Labels[m.Spec.JobLabel] != "postrider" {
			t.Errorf("the job is called %q", s.Labels[m.Spec.JobLabel])
		}
		for _, e := range m.Spec.Endpoints {
			if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == e.Port && p.Port == 8026 }) || e.Path != "/metrics" {
				t.Errorf("%s is asked for %s at %s", s.Name, e.Path, e.Port)
			}
		}
	}
	if found != 1 {
		t.Errorf("the monitor finds %d Services", found)
	}
}

func TestChartNetworkPolicyLetsInWhoIsMeant(t *testing.T) {
	t.Parallel()
	all, _ := rendered(t, "")
	checkPolicy(t, only[*networkingv1.NetworkPolicy](t, all), templates(all)[0])

	all, _ = rendered(t, everythingValues)
	p, relay := only[*networkingv1.NetworkPolicy](t, all), templates(all)[0].relay(t)
	friend := peer{namespace: map[string]string{"kubernetes.io/metadata.name": "shops", "mail": "yes"}}
	for port, want := range map[int32]bool{2525: true, 2587: true, 2465: true, 8025: true, 1143: true, 1993: true, 8026: false} {
		if got := lets(p.Spec.Ingress, relay, friend, port); got != want {
			t.Errorf("a client reaches port %d: %v", port, got)
		}
	}
	if lets(p.Spec.Ingress, relay, peer{namespace: own, pod: map[string]string{}}, 2525) {
		t.Error("whoever was not named reaches the relay")
	}
	if !lets(p.Spec.Ingress, relay, peer{namespace: own, pod: map[string]string{"app": "prometheus"}}, 8026) {
		t.Error("Prometheus does not reach the metrics")
	}
	if !goes(p.Spec.Egress, "10.1.2.3", 6379) || goes(p.Spec.Egress, "192.0.2.1", 25) || !goes(p.Spec.Egress, "192.0.2.1", 587) {
		t.Error("mail leaves by other ports than were named")
	}
}
