{{- /* What the service's pods and the one that checks its settings share. */ -}}

{{- define "headrace.env" -}}
- name: HEADRACE_CONFIG
  value: /etc/headrace/headrace.yaml
- name: HEADRACE_DATA
  value: /var/lib/headrace
- name: HEADRACE_HTTP__HOST
  value: {{ .Values.http.host | quote }}
- name: HEADRACE_HTTP__PORT
  value: {{ .Values.http.port | quote }}
- name: HEADRACE_LOGS__FORMAT
  value: json
- name: HEADRACE_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
# for libraries that keep something at home
- name: HOME
  value: /tmp
{{- if .Values.valkey.enabled }}
- name: HEADRACE_REDIS__URL
  value: redis://{{ include "headrace.name" . }}-valkey:6379
{{- if .Values.valkey.password.secret }}
- name: HEADRACE_REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.valkey.password.secret }}
      key: {{ .Values.valkey.password.key }}
{{- end }}
{{- end }}
{{- range $name, $from := .Values.secrets.env }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secret }}
      key: {{ $from.key }}
{{- end }}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "headrace.mounts" -}}
- {name: config, mountPath: /etc/headrace, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- range .Values.secrets.files }}
- {name: {{ printf "secret-%s" . | trunc 63 | trimSuffix "-" | quote }}, mountPath: /etc/headrace-secrets/{{ . }}, readOnly: true}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* volumes: takes {root, config}, the name of the ConfigMap. */ -}}
{{- define "headrace.volumes" -}}
- name: config
  configMap: {name: {{ .config }}}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- range .root.Values.secrets.files }}
- name: {{ printf "secret-%s" . | trunc 63 | trimSuffix "-" | quote }}
  secret: {secretName: {{ . }}, defaultMode: 288}  # 0440, for which YAML 1.1 and 1.2 have no common spelling
{{- end }}
{{- with .root.Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
