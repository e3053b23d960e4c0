{{- define "postrider.container" -}}
{{- $v := .Values -}}
- name: postrider
  image: {{ include "postrider.image" . }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  args: [serve]
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  env:
    {{- include "postrider.env" . | nindent 4 }}
  ports:
    - {name: submission, containerPort: 2525}
    {{- if $v.tls.secretName }}
    - {name: starttls, containerPort: 2587}
    - {name: tls, containerPort: 2465}
    {{- end }}
    - {name: http, containerPort: 8025}
    - {name: operator, containerPort: 8026}
    {{- if $v.folders.enabled }}
    - {name: imap, containerPort: 1143}
    - {name: imaps, containerPort: 1993}
    - {name: pop3, containerPort: 1110}
    - {name: pop3s, containerPort: 1995}
    {{- end }}
  # HTTP is spoken once the store is open, which takes a while with a long queue.
  startupProbe:
    httpGet: {path: /livez, port: http}
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 300
  livenessProbe:
    httpGet: {path: /livez, port: http}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /readyz, port: http}
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 2
  resources: {{- toYaml $v.resources | nindent 4 }}
  volumeMounts:
    - {name: data, mountPath: /var/lib/postrider}
    {{- if $v.config }}
    - {name: config, mountPath: /etc/postrider/config, readOnly: true}
    {{- end }}
    {{- if $v.secretFiles }}
    - {name: secrets, mountPath: /etc/postrider/secrets, readOnly: true}
    {{- end }}
    {{- if $v.tls.secretName }}
    - {name: tls, mountPath: /etc/postrider/tls, readOnly: true}
    {{- end }}
    {{- if $v.dkim.secretName }}
    - {name: dkim, mountPath: /etc/postrider/dkim, readOnly: true}
    {{- end }}
{{- end -}}

{{- define "postrider.env" -}}
{{- $v := .Values -}}
- {name: POSTRIDER_DATA_DIR, value: /var/lib/postrider}
{{- with $v.hostname }}
- {name: POSTRIDER_HOSTNAME, value: {{ quote . }}}
{{- end }}
- {name: POSTRIDER_SUBMISSION_LISTEN, value: {{ $v.tls.secretName | empty | ternary ":2525" ":2525,starttls://:2587,tls://:2465" | quote }}}
- {name: POSTRIDER_HTTP_LISTEN, value: ":8025"}
- {name: POSTRIDER_HTTP_OPERATOR_LISTEN, value: ":8026"}
- {name: POSTRIDER_IMAP_LISTEN, value: {{ $v.folders.enabled | ternary ":1143,tls://:1993" "127.0.0.1:1143" | quote }}}
- {name: POSTRIDER_POP3_LISTEN, value: {{ $v.folders.enabled | ternary ":1110,tls://:1995" "127.0.0.1:1110" | quote }}}
- {name: POSTRIDER_SHUTDOWN_DELAY, value: {{ printf "%ds" (int $v.shutdown.delaySeconds) | quote }}}
{{- if $v.shutdown.drainSeconds }}
- {name: POSTRIDER_SHUTDOWN_DRAIN, value: {{ printf "%ds" (int $v.shutdown.drainSeconds) | quote }}}
{{- end }}
{{- if $v.config }}
- {name: POSTRIDER_CONFIG, value: /etc/postrider/config/postrider.yaml}
{{- end }}
{{- if $v.tls.secretName }}
- {name: POSTRIDER_TLS_CERT, value: /etc/postrider/tls/tls.crt}
- {name: POSTRIDER_TLS_KEY, value: /etc/postrider/tls/tls.key}
{{- end }}
{{- if $v.dkim.secretName }}
- {name: POSTRIDER_DKIM_KEYS_DIR, value: /etc/postrider/dkim}
{{- end }}
{{- range $name, $value := $v.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range $name, $_ := $v.secretFiles }}
- {name: {{ $name }}_FILE, value: /etc/postrider/secrets/{{ $name }}}
{{- end }}
{{- end -}}

{{- define "postrider.volumes" -}}
{{- $v := .Values -}}
{{- if not (include "postrider.volume" .) }}
- name: data
  emptyDir: {}
{{- else if $v.persistence.existingClaim }}
- name: data
  persistentVolumeClaim: {claimName: {{ $v.persistence.existingClaim }}}
{{- end }}
{{- if $v.config }}
- name: config
  configMap: {name: {{ include "postrider.fullname" . }}}
{{- end }}
{{- if $v.secretFiles }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $from := $v.secretFiles }}
      - secret:
          name: {{ $from.secret }}
          items:
            - {key: {{ quote $from.key }}, path: {{ $name }}}
      {{- end }}
{{- end }}
{{- if $v.tls.secretName }}
- name: tls
  secret: {secretName: {{ $v.tls.secretName }}, defaultMode: 0440}
{{- end }}
{{- if $v.dkim.secretName }}
- name: dkim
  secret: {secretName: {{ $v.dkim.secretName }}, defaultMode: 0440}
{{- end }}
{{- end -}}
