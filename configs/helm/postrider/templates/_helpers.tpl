{{- /* The name of everything: the release's, with the chart's where that is missing. */ -}}
{{- define "postrider.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "postrider.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "postrider.labels" -}}
{{ include "postrider.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "postrider.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "postrider.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "postrider.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest -}}
{{- printf "%s@%s" $i.repository $i.digest -}}
{{- else -}}
{{- printf "%s:%s" $i.repository ($i.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* "shared" where the queue is in Redis, else empty. */ -}}
{{- define "postrider.shared" -}}
{{- if or (hasKey .Values.settings "POSTRIDER_STORE") (hasKey .Values.secretFiles "POSTRIDER_STORE") -}}shared{{- end -}}
{{- end -}}

{{- /* "volume" where the embedded store is on one that stays, else empty. */ -}}
{{- define "postrider.volume" -}}
{{- if and .Values.persistence.enabled (not (include "postrider.shared" .)) -}}volume{{- end -}}
{{- end -}}

{{- /* What the schema cannot say. */ -}}
{{- define "postrider.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "postrider.shared" .)) -}}
{{- fail "replicas above 1 need a store that they share: name a Redis by secretFiles.POSTRIDER_STORE" -}}
{{- end -}}
{{- if and .Values.folders.enabled (not .Values.tls.secretName) -}}
{{- fail "folders.enabled needs tls.secretName: passwords of mail programs do not go unencrypted" -}}
{{- end -}}
{{- range $name, $_ := .Values.secretFiles -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "%s is in settings and in secretFiles: leave one" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
