{{/* The template of a pod, the same in a Deployment and in a StatefulSet. */}}
{{- define "verdict.pod" -}}
{{- $v := .Values -}}
metadata:
  labels:
    {{- include "verdict.selectorLabels" . | nindent 4 }}
    {{- with $v.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $v.podAnnotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "verdict.serviceAccountName" . }}
  # It asks the cluster nothing.
  automountServiceAccountToken: false
  # Variables beside Services would be taken for settings.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $v.runAsUser }}
    runAsGroup: {{ $v.runAsUser }}
    fsGroup: {{ $v.fsGroup }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $v.initContainers }}
  initContainers: {{ toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: verdict
      {{- if $v.image.digest }}
      image: {{ printf "%s@%s" $v.image.repository $v.image.digest | quote }}
      {{- else }}
      image: {{ printf "%s:%s" $v.image.repository ($v.image.tag | default .Chart.AppVersion) | quote }}
      {{- end }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      env:
        {{- include "verdict.environment" . | nindent 8 }}
      ports:
        - name: {{ include "verdict.scheme" . }}
          containerPort: 3000
        {{- with include "verdict.grpcPort" . }}
        - name: grpc
          containerPort: {{ . }}
        {{- end }}
        {{- range $v.extraPorts }}
        - name: {{ .name }}
          containerPort: {{ .port }}
        {{- end }}
      {{- $probe := dict "path" "/health/live" "port" (include "verdict.scheme" .) "scheme" (include "verdict.scheme" . | upper) }}
      # It listens when its policies are loaded.
      startupProbe:
        httpGet: {{ toJson $probe }}
        periodSeconds: 2
        timeoutSeconds: 3
        failureThreshold: {{ div (add $v.probes.startupSeconds 1) 2 }}
      livenessProbe:
        httpGet: {{ toJson $probe }}
        periodSeconds: 10
        timeoutSeconds: 3
        failureThreshold: 3
      readinessProbe:
        httpGet: {{ toJson (set (deepCopy $probe) "path" "/health/ready") }}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      lifecycle:
        # After SIGTERM it takes no new connections.
        preStop: { sleep: { seconds: {{ $v.preStopSeconds }} } }
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      resources: {{ toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - { name: data, mountPath: /data }
        {{- if eq $v.policies.source "directory" }}
        {{- if $v.policies.volume }}
        - { name: policies, mountPath: /policies, readOnly: true }
        {{- end }}
        {{- range $set, $_files := merge (dict) $v.policies.sets $v.policies.configMaps }}
        - { name: {{ include "verdict.volumeOfSet" $set }}, mountPath: {{ printf "/policies/%s" $set | quote }}, readOnly: true }
        {{- end }}
        {{- end }}
        {{- if or $v.secrets $v.apiKeys.key }}
        - { name: secrets, mountPath: /etc/verdict/secrets, readOnly: true }
        {{- end }}
        {{- if $v.tls.existingSecret }}
        - { name: tls, mountPath: /etc/verdict/tls, readOnly: true }
        {{- end }}
        {{- if $v.tls.clientCA.secretName }}
        - { name: client-ca, mountPath: /etc/verdict/client-ca, readOnly: true }
        {{- end }}
        {{- if eq $v.policies.source "bundle" }}
        {{- if $v.policies.bundle.publicKeys }}
        - { name: bundle-keys, mountPath: /etc/verdict/bundle-keys/own, readOnly: true }
        {{- end }}
        {{- if $v.policies.bundle.publicKeysConfigMap.name }}
        - { name: given-bundle-keys, mountPath: /etc/verdict/bundle-keys/given, readOnly: true }
        {{- end }}
        {{- end }}
        {{- with $v.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
    {{- with $v.extraContainers }}{{ toYaml . | nindent 4 }}{{ end }}
  volumes:
    {{- include "verdict.volumes" . | nindent 4 }}
  {{- with $v.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if $v.topologySpreadConstraints }}
    {{- toYaml $v.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "verdict.selectorLabels" $ | nindent 10 }}
      {{- if eq (include "verdict.kind" $) "Deployment" }}
      matchLabelKeys: [pod-template-hash]
      {{- end }}
    {{- end }}
    {{- end }}
{{- end -}}

{{- define "verdict.volumes" -}}
{{- $v := .Values -}}
{{- if $v.data.existingClaim }}
- name: data
  persistentVolumeClaim: { claimName: {{ $v.data.existingClaim | quote }} }
{{- else if eq $v.data.volume "emptyDir" }}
- name: data
  emptyDir: { sizeLimit: {{ $v.data.size }} }
{{- else if eq $v.data.volume "memory" }}
- name: data
  emptyDir: { medium: Memory, sizeLimit: {{ $v.data.size }} }
{{- end }}
{{- if eq $v.policies.source "directory" }}
{{- with $v.policies.volume }}
- name: policies
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $set, $files := $v.policies.sets }}
- name: {{ include "verdict.volumeOfSet" $set }}
  configMap:
    name: {{ include "verdict.setConfigMap" (dict "root" $ "set" $set) }}
    items:
      {{- range $path, $_text := $files }}
      - { key: {{ include "verdict.keyOfPath" $path | quote }}, path: {{ $path | quote }} }
      {{- end }}
{{- end }}
{{- range $set, $given := $v.policies.configMaps }}
- name: {{ include "verdict.volumeOfSet" $set }}
  configMap: {{ toYaml $given | nindent 4 }}
{{- end }}
{{- end }}
{{- if or $v.secrets $v.apiKeys.key }}
- name: secrets
  projected:
    defaultMode: 288 # 0440
    sources:
      {{- range $variable, $source := $v.secrets }}
      {{- if kindIs "string" $source }}
      - secret: { name: {{ $v.existingSecret | quote }}, items: [{ key: {{ $source | quote }}, path: {{ $variable }} }] }
      {{- else }}
      - secret: { name: {{ $source.name | quote }}, items: [{ key: {{ $source.key | quote }}, path: {{ $variable }} }] }
      {{- end }}
      {{- end }}
      {{- if $v.apiKeys.key }}
      - secret: { name: {{ $v.apiKeys.secretName | default $v.existingSecret | quote }}, items: [{ key: {{ $v.apiKeys.key | quote }}, path: api-keys.yaml }] }
      {{- end }}
{{- end }}
{{- with $v.tls.existingSecret }}
- name: tls
  secret: { secretName: {{ . | quote }}, defaultMode: 288 } # 0440
{{- end }}
{{- with $v.tls.clientCA }}
{{- if .secretName }}
- name: client-ca
  secret: { secretName: {{ .secretName | quote }}, items: [{ key: {{ .key | quote }}, path: {{ .key | quote }} }], defaultMode: 288 } # 0440
{{- end }}
{{- end }}
{{- if eq $v.policies.source "bundle" }}
{{- if $v.policies.bundle.publicKeys }}
- name: bundle-keys
  configMap: { name: {{ include "verdict.fullname" . }}-bundle-keys }
{{- end }}
{{- with $v.policies.bundle.publicKeysConfigMap }}
{{- if .name }}
- name: given-bundle-keys
  configMap: { name: {{ .name | quote }}, items: [{ key: {{ .key | quote }}, path: {{ .key | quote }} }] }
{{- end }}
{{- end }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
