{{- /* What the chart reads from the settings file. It goes to the pod as it was written. */ -}}

{{- /* settings: the file as JSON. */ -}}
{{- define "headrace.settings" -}}
{{- $text := required "config: pass the settings file, --set-file config=headrace.yaml" .Values.config -}}
{{- $settings := fromYaml $text -}}
{{- if hasKey $settings "Error" -}}
{{- fail (printf "config: no YAML: %s" $settings.Error) -}}
{{- end -}}
{{- $settings | toJson -}}
{{- end -}}

{{- /* argo: "true" if a job is started on Argo Workflows by the pod's own account. */ -}}
{{- define "headrace.argo" -}}
{{- $settings := include "headrace.settings" . | fromJson -}}
{{- $runs := list -}}
{{- range $settings.streams -}}{{- $runs = append $runs (.run | default dict) -}}{{- end -}}
{{- range $settings.jobs -}}{{- $runs = append $runs . -}}{{- end -}}
{{- $argo := "" -}}
{{- range $runs -}}{{- if eq (.launcher | default "local") "argo" -}}{{- $argo = "true" -}}{{- end -}}{{- end -}}
{{- if dig "argo" "kubeconfig" "" $settings -}}{{- $argo = "" -}}{{- end -}}
{{- $argo -}}
{{- end -}}

{{- define "headrace.argoNamespace" -}}
{{- dig "argo" "namespace" "argo" (include "headrace.settings" . | fromJson) -}}
{{- end -}}

{{- /* drainSeconds: drain_seconds rounded up; a number, or one with a unit. */ -}}
{{- define "headrace.drainSeconds" -}}
{{- $settings := include "headrace.settings" . | fromJson -}}
{{- $said := get $settings "drain_seconds" | default 25 | toString | replace "_" "" | trim -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?|\\.[0-9]+)\\s*(ms|s|min|h|d)?$" $said) -}}
{{- fail (printf "config: drain_seconds: %s is no duration such as 25 s" $said) -}}
{{- end -}}
{{- $number := regexFind "^[0-9.]+" $said | float64 -}}
{{- $unit := regexFind "[a-z]+$" $said | default "s" -}}
{{- $seconds := dict "ms" 0.001 "s" 1 "min" 60 "h" 3600 "d" 86400 -}}
{{- mulf $number (get $seconds $unit) | ceil | int -}}
{{- end -}}

{{- /* check: what cannot be well, said before anything is installed. */ -}}
{{- define "headrace.check" -}}
{{- $settings := include "headrace.settings" . | fromJson -}}
{{- $source := $settings.source | default dict -}}
{{- $hub := or $source.event_hubs $source.iot_hub (hasKey .Values.secrets.env "HEADRACE_EVENT_HUBS_CONNECTION") -}}
{{- $redis := or .Values.valkey.enabled (dig "redis" "url" "" $settings) -}}
{{- $azure := dig "blobs" "azure" dict $settings -}}
{{- $kept := or .Values.data.persistent .Values.data.existingClaim -}}
{{- if not (or $azure $kept .Values.data.allowLoss) -}}
{{- fail "config: the store is a folder, and the pod's disk goes with the pod: name blobs.azure, or set data.persistent=true; data.allowLoss=true if nothing of it is to be kept" -}}
{{- end -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- if not $hub -}}
{{- fail "replicas: more than one needs source.event_hubs or source.iot_hub in config; the embedded hub is for one" -}}
{{- end -}}
{{- if not $redis -}}
{{- fail "replicas: more than one needs a Redis that all reach: redis.url in config, or valkey.enabled=true" -}}
{{- end -}}
{{- if not $azure -}}
{{- fail "replicas: more than one needs a store that all reach: blobs.azure in config" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.valkey.enabled (dig "redis" "url" "" $settings) -}}
{{- fail "valkey.enabled: config names a redis.url already; leave one out" -}}
{{- end -}}
{{- end -}}
