{{/* The variables of the container: what the chart knows itself, then secrets as files, then settings. */}}
{{- define "verdict.environment" -}}
{{- $v := .Values -}}
{{- $own := dict "VERDICT_HOST" "0.0.0.0" "VERDICT_PORT" "3000" "VERDICT_POLICY_SOURCE" $v.policies.source "SQLITE_TMPDIR" "/data" -}}
{{- if eq $v.policies.source "directory" -}}
  {{- $_ := set $own "VERDICT_POLICY_DIR" (clean (printf "/policies/%s" $v.policies.volumePath)) -}}
{{- end -}}
{{- if eq $v.policies.source "bundle" -}}
  {{- if $v.policies.bundle.url -}}{{- $_ := set $own "VERDICT_BUNDLE_URL" $v.policies.bundle.url -}}{{- end -}}
  {{- $keys := list -}}
  {{- if $v.policies.bundle.publicKeys -}}{{- $keys = append $keys "/etc/verdict/bundle-keys/own/bundle-keys.pem" -}}{{- end -}}
  {{- if $v.policies.bundle.publicKeysConfigMap.name -}}{{- $keys = append $keys (printf "/etc/verdict/bundle-keys/given/%s" $v.policies.bundle.publicKeysConfigMap.key) -}}{{- end -}}
  {{- $keys = concat $keys $v.policies.bundle.publicKeysUrls -}}
  {{- if $keys -}}{{- $_ := set $own "VERDICT_BUNDLE_KEYS" (join "," $keys) -}}{{- end -}}
{{- end -}}
{{- if eq $v.database "postgresql" -}}
  {{- /* The image's own is for SQLite; an empty one counts as not set. */ -}}
  {{- $_ := set $own "VERDICT_DATABASE_URL" "" -}}
  {{- $_ := set $own "VERDICT_SPOOL_DIR" "/data" -}}
  {{- $_ := set $own "VERDICT_DECISION_LOG_JOURNAL_BYTES" (include "verdict.journalBytes" .) -}}
{{- else -}}
  {{- $_ := set $own "VERDICT_DATABASE_URL" "sqlite:/data/verdict.sqlite" -}}
{{- end -}}
{{- if include "verdict.hasVolume" . -}}{{- $_ := set $own "VERDICT_LOCK_WAIT" "60s" -}}{{- end -}}
{{- if $v.tls.existingSecret -}}
  {{- $_ := set $own "VERDICT_TLS_CERT" "/etc/verdict/tls/tls.crt" -}}
  {{- $_ := set $own "VERDICT_TLS_KEY" "/etc/verdict/tls/tls.key" -}}
  {{- if $v.tls.clientCA.secretName -}}{{- $_ := set $own "VERDICT_TLS_CLIENT_CA" (printf "/etc/verdict/client-ca/%s" $v.tls.clientCA.key) -}}{{- end -}}
{{- else -}}
  {{- $_ := set $own "VERDICT_TLS" "terminated-elsewhere" -}}
{{- end -}}
{{- if $v.apiKeys.key -}}{{- $_ := set $own "VERDICT_API_KEYS_FILE" "/etc/verdict/secrets/api-keys.yaml" -}}{{- end -}}
{{- range $variable, $_source := $v.secrets -}}
  {{- $_ := set $own (printf "%s_FILE" $variable) (printf "/etc/verdict/secrets/%s" $variable) -}}
{{- end -}}
{{- range $name, $value := $v.settings -}}
  {{- $_ := set $own $name (include "verdict.text" $value) -}}
{{- end -}}
- name: VERDICT_INSTANCE
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
{{- range $name, $value := $own }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with $v.policies.bundle.awsCredentialsSecret }}
{{- range $name := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $v.policies.bundle.awsCredentialsSecret | quote }}, key: {{ $name }} } }
{{- end }}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Bytes of the journal of each worker: three quarters of the folder together. A pod that outgrows an emptyDir is evicted, and
its journal with it, so decisions must be refused before.
*/}}
{{- define "verdict.journalBytes" -}}
{{- $workers := get .Values.settings "VERDICT_WORKERS" | default "1" | include "verdict.text" -}}
{{- if ne $workers "auto" -}}
{{- div (mul (include "verdict.bytes" .Values.data.size | int64) 3) (mul 4 (max 1 (int64 $workers))) -}}
{{- end -}}
{{- end -}}
