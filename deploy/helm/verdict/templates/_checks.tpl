{{/* What contradicts itself, and what the service would refuse at its start: all of it in one message. */}}
{{- define "verdict.checks" -}}
{{- $v := .Values -}}
{{- $p := list -}}
{{- $isSqlite := eq $v.database "sqlite" -}}
{{- $hasClaims := eq (include "verdict.kind" .) "StatefulSet" -}}
{{- $workers := get $v.settings "VERDICT_WORKERS" | default "1" | include "verdict.text" -}}
{{- if not $v.image.repository -}}
  {{- $p = append $p "image.repository is empty: build the image from the Dockerfile, push it to your registry, and name it" -}}
{{- end -}}

{{- if $isSqlite -}}
  {{- if or (ne (int $v.replicas) 1) $v.autoscaling.enabled -}}
    {{- $p = append $p "database is sqlite, which is of one process: replicas must be 1 and autoscaling off; several pods want postgresql" -}}
  {{- end -}}
  {{- if not (include "verdict.hasVolume" .) -}}
    {{- $p = append $p (printf "database is sqlite and data.volume is %s: keys, audit events and the decision log would end with the pod" $v.data.volume) -}}
  {{- end -}}
  {{- if hasKey $v.secrets "VERDICT_DATABASE_URL" -}}
    {{- $p = append $p "database is sqlite, and secrets.VERDICT_DATABASE_URL is another one: set database to postgresql" -}}
  {{- end -}}
  {{- if ne $workers "1" -}}{{- $p = append $p "settings.VERDICT_WORKERS beyond 1 wants the database postgresql" -}}{{- end -}}
  {{- if eq (get $v.settings "VERDICT_DECISION_LOG" | default "") "replicated" -}}
    {{- $p = append $p "settings.VERDICT_DECISION_LOG is replicated, which wants the database postgresql" -}}
  {{- end -}}
{{- else -}}
  {{- if not (hasKey $v.secrets "VERDICT_DATABASE_URL") -}}
    {{- $p = append $p "database is postgresql: secrets.VERDICT_DATABASE_URL must say in which Secret its URL is" -}}
  {{- end -}}
  {{- $size := include "verdict.bytes" $v.data.size | int64 -}}
  {{- $given := get $v.settings "VERDICT_DECISION_LOG_JOURNAL_BYTES" -}}
  {{- if $given -}}
    {{- $count := ternary 1 (int64 $workers) (eq $workers "auto") -}}
    {{- if gt (mul (int64 $given) $count 10) (mul $size 9) -}}
      {{- $p = append $p (printf "settings.VERDICT_DECISION_LOG_JOURNAL_BYTES is of each worker, and together more than nine tenths of data.size (%s)" $v.data.size) -}}
    {{- end -}}
  {{- else if eq $workers "auto" -}}
    {{- $p = append $p "settings.VERDICT_WORKERS is auto: say the number, or settings.VERDICT_DECISION_LOG_JOURNAL_BYTES for each worker, so that together they fit data.size" -}}
  {{- else if lt (include "verdict.journalBytes" . | int64) 67108864 -}}
    {{- $p = append $p (printf "data.size (%s) is too small: three quarters of it are for the journals, each of 64Mi at least" $v.data.size) -}}
  {{- end -}}
{{- end -}}

{{- if $v.autoscaling.enabled -}}
  {{- if and $hasClaims (not $isSqlite) -}}
    {{- $p = append $p "autoscaling is on and data.volume is persistentVolumeClaim: records in the volume of a pod that was scaled away would wait for its return; use emptyDir or memory" -}}
  {{- end -}}
  {{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
    {{- $p = append $p "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
  {{- end -}}
{{- end -}}
{{- if $v.data.existingClaim -}}
  {{- if or (ne (int $v.replicas) 1) $v.autoscaling.enabled -}}
    {{- $p = append $p "data.existingClaim is one volume, which one process may use: replicas must be 1 and autoscaling off" -}}
  {{- end -}}
  {{- if ne $v.data.volume "persistentVolumeClaim" -}}
    {{- $p = append $p (printf "data.existingClaim is set, and data.volume is %s" $v.data.volume) -}}
  {{- end -}}
{{- end -}}

{{- $sources := $v.policies -}}
{{- if eq $sources.source "directory" -}}
  {{- if not (or $sources.sets $sources.configMaps $sources.volume) -}}
    {{- $p = append $p "policies.source is directory: name the sets in policies.sets or policies.configMaps, or a volume in policies.volume" -}}
  {{- end -}}
  {{- if and $sources.volume (or $sources.sets $sources.configMaps) -}}
    {{- $p = append $p "policies.volume holds all sets: policies.sets and policies.configMaps must be empty" -}}
  {{- end -}}
  {{- if and $sources.volumePath (not $sources.volume) -}}
    {{- $p = append $p "policies.volumePath is a folder in policies.volume, which is empty" -}}
  {{- end -}}
  {{- range $set, $files := $sources.sets -}}
    {{- if hasKey $sources.configMaps $set -}}{{- $p = append $p (printf "the set %s is in policies.sets and in policies.configMaps" $set) -}}{{- end -}}
    {{- if not (hasKey $files "model.conf") -}}{{- $p = append $p (printf "policies.sets.%s has no model.conf" $set) -}}{{- end -}}
    {{- if gt (len (toJson $files)) 1000000 -}}{{- $p = append $p (printf "policies.sets.%s is larger than a ConfigMap may be: use policies.volume, or bundles" $set) -}}{{- end -}}
  {{- end -}}
{{- else if or $sources.sets $sources.configMaps $sources.volume -}}
  {{- $p = append $p (printf "policies.source is %s: policies.sets, policies.configMaps and policies.volume are for directory" $sources.source) -}}
{{- end -}}
{{- if eq $sources.source "bundle" -}}
  {{- $isSecret := hasKey $v.secrets "VERDICT_BUNDLE_URL" -}}
  {{- if and $sources.bundle.url $isSecret -}}{{- $p = append $p "policies.bundle.url and secrets.VERDICT_BUNDLE_URL say the same thing" -}}{{- end -}}
  {{- if not (or $sources.bundle.url $isSecret) -}}{{- $p = append $p "policies.source is bundle: set policies.bundle.url, or secrets.VERDICT_BUNDLE_URL where it holds a password" -}}{{- end -}}
  {{- if regexMatch "^[a-z]+://[^/]*@" $sources.bundle.url -}}{{- $p = append $p "policies.bundle.url holds a password: put it into secrets.VERDICT_BUNDLE_URL" -}}{{- end -}}
  {{- $names := list -}}
  {{- range $v.extraEnv -}}{{- $names = append $names .name -}}{{- end -}}
  {{- if and (hasPrefix "s3://" $sources.bundle.url) (not $sources.bundle.awsCredentialsSecret) (not (has "AWS_ACCESS_KEY_ID" $names)) -}}
    {{- $p = append $p "policies.bundle.url is in S3: policies.bundle.awsCredentialsSecret must name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (roles of pods are not read)" -}}
  {{- end -}}
{{- else if or $sources.bundle.url (hasKey $v.secrets "VERDICT_BUNDLE_URL") -}}
  {{- $p = append $p (printf "a URL of bundles is set, and policies.source is %s" $sources.source) -}}
{{- end -}}

{{- range $variable, $source := $v.secrets -}}
  {{- if and (kindIs "string" $source) (not $v.existingSecret) -}}
    {{- $p = append $p (printf "secrets.%s is a key of existingSecret, which is empty" $variable) -}}
  {{- end -}}
{{- end -}}
{{- if and $v.apiKeys.key (not (or $v.apiKeys.secretName $v.existingSecret)) -}}
  {{- $p = append $p "apiKeys.key is a key of apiKeys.secretName or existingSecret, which are empty" -}}
{{- end -}}
{{- if and $v.apiKeys.secretName (not $v.apiKeys.key) -}}
  {{- $p = append $p "apiKeys.secretName is set: apiKeys.key must say which of its keys it is" -}}
{{- end -}}
{{- if and $isSqlite (not $v.apiKeys.key) (not (get $v.settings "VERDICT_JWT_ISSUER")) -}}
  {{- $p = append $p "nobody could call: set apiKeys.key, or settings.VERDICT_JWT_ISSUER and VERDICT_JWT_AUDIENCE (keys that are managed in PostgreSQL are enough, too)" -}}
{{- end -}}
{{- if or (eq (include "verdict.grpcPort" .) "0") (eq (include "verdict.grpcPort" .) "3000") -}}
  {{- $p = append $p "settings.VERDICT_GRPC_PORT must be a port of its own: 3000 is the service's, and 0 would be another one in each pod" -}}
{{- end -}}
{{- range $v.extraPorts -}}
  {{- if or (has .name (list "http" "https" "grpc")) (has (toString .port) (list "3000" (include "verdict.grpcPort" $))) -}}
    {{- $p = append $p (printf "extraPorts has %s (%v), which is one of the service's own" .name .port) -}}
  {{- end -}}
{{- end -}}
{{- range $v.extraEnv -}}
  {{- if hasPrefix "VERDICT_" .name -}}{{- $p = append $p (printf "extraEnv has %s: put it into settings, or into secrets" .name) -}}{{- end -}}
{{- end -}}

{{- if and $v.tls.existingSecret $v.tls.terminatedElsewhere -}}
  {{- $p = append $p "tls.existingSecret and tls.terminatedElsewhere exclude each other" -}}
{{- end -}}
{{- if not (or $v.tls.existingSecret $v.tls.terminatedElsewhere) -}}
  {{- $p = append $p "set tls.existingSecret, or tls.terminatedElsewhere where a mesh or a proxy speaks TLS" -}}
{{- end -}}
{{- if and $v.tls.clientCA.secretName (not $v.tls.existingSecret) -}}
  {{- $p = append $p "tls.clientCA wants tls.existingSecret: who speaks TLS asks for certificates" -}}
{{- end -}}

{{- if $v.networkPolicy.enabled -}}
  {{- if not $v.networkPolicy.ingressFrom -}}{{- $p = append $p "networkPolicy.ingressFrom is empty: nobody could ask" -}}{{- end -}}
  {{- if and (not $v.networkPolicy.egress) (or (not $isSqlite) (ne $sources.source "directory") (get $v.settings "VERDICT_JWT_ISSUER")) -}}
    {{- $p = append $p "networkPolicy.egress is empty: the service could not reach what it needs (PostgreSQL, bundles or issuers)" -}}
  {{- end -}}
{{- end -}}
{{- if and $v.serviceMonitor.enabled (not $v.serviceMonitor.secretName) -}}
  {{- $p = append $p "serviceMonitor.secretName is empty: /metrics wants an API key with the scope metrics:read" -}}
{{- end -}}
{{- if lt (int $v.terminationGracePeriodSeconds) (add (int $v.preStopSeconds) 20) -}}
  {{- $p = append $p "terminationGracePeriodSeconds is less than preStopSeconds and 20: the service takes up to 15 s to stop, and what is cut off is not shipped" -}}
{{- end -}}
{{- if and (include "verdict.hasVolume" .) (lt (int $v.probes.startupSeconds) 90) -}}
  {{- $p = append $p "probes.startupSeconds is less than 90: a pod may wait a minute for the one before to let go of the volume" -}}
{{- end -}}
{{- if $p -}}{{- fail (printf "these values cannot be installed:\n  - %s" (join "\n  - " $p)) -}}{{- end -}}
{{- end -}}
