{{- define "verdict.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: names of pods and of what stands beside them are longer. */}}
{{- define "verdict.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "verdict.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "verdict.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "verdict.selectorLabels" -}}
app.kubernetes.io/name: {{ include "verdict.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "verdict.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "verdict.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "verdict.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "verdict.fullname" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* A folder that outlives the pod: claims of its own make a StatefulSet of it. */}}
{{- define "verdict.hasVolume" -}}
{{- if or .Values.data.existingClaim (eq .Values.data.volume "persistentVolumeClaim") -}}true{{- end -}}
{{- end -}}

{{- define "verdict.kind" -}}
{{- if and (eq .Values.data.volume "persistentVolumeClaim") (not .Values.data.existingClaim) -}}StatefulSet{{- else -}}Deployment{{- end -}}
{{- end -}}

{{- define "verdict.scheme" -}}
{{- if .Values.tls.existingSecret -}}https{{- else -}}http{{- end -}}
{{- end -}}

{{/* A number as it is written: Helm reads it as a float, which prints 16777216 as 1.6777216e+07. */}}
{{- define "verdict.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- printf "%.0f" . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{/* The bytes of a quantity: 8Gi is 8589934592. */}}
{{- define "verdict.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" . -}}
{{- mul (trimSuffix $unit . | int64) (get $units $unit | int64) -}}
{{- end -}}

{{/* The name of the ConfigMap of a set in policies.sets. */}}
{{- define "verdict.setConfigMap" -}}
{{- printf "%s-policies-%s" (include "verdict.fullname" .root) .set -}}
{{- end -}}

{{/* A key of a ConfigMap has no slash, and no two paths have the same key: an underscore is written twice. */}}
{{- define "verdict.keyOfPath" -}}
{{- . | replace "_" "__" | replace "/" "_." -}}
{{- end -}}

{{/* Kubernetes' names are narrower than those of sets. */}}
{{- define "verdict.volumeOfSet" -}}
{{- printf "policies-%s" (sha256sum . | trunc 10) -}}
{{- end -}}

{{/* The port for Envoy over gRPC; empty where there is none. */}}
{{- define "verdict.grpcPort" -}}
{{- if hasKey .Values.settings "VERDICT_GRPC_PORT" -}}{{- include "verdict.text" .Values.settings.VERDICT_GRPC_PORT -}}{{- end -}}
{{- end -}}
