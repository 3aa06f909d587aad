{{/* The pod of a service. Takes (root, component). */}}
{{- define "meta-mcp.podTemplate" -}}
{{- $root := .root -}}
{{- $values := get $root.Values .component -}}
{{- $name := include "meta-mcp.fullname" $root -}}
metadata:
  labels:
    {{- include "meta-mcp.labels" . | nindent 4 }}
  annotations:
    # Settings take effect at a start; servers are read again without one.
    checksum/settings: {{ include "meta-mcp.settings" . | sha256sum }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- if not $root.Values.podSecurity.hostUsers }}
  hostUsers: false
  {{- end }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- include "meta-mcp.podSecurityContext" (list $root.Values.podSecurity.userId $root.Values.podSecurity.groupId) | nindent 4 }}
  terminationGracePeriodSeconds: {{ include "meta-mcp.graceSeconds" $root }}
  containers:
    - name: {{ .component }}
      image: {{ include "meta-mcp.image" (dict "root" $root "image" .component) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [--config, /etc/meta-mcp/config.json, --data-dir, /var/lib/meta-mcp]
      securityContext:
        {{- include "meta-mcp.containerSecurityContext" . | nindent 8 }}
      env:
        - name: POD_NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        {{- if not (has .component (list "catalog" "audit")) }}
        - name: META_MCP_SERVICES_ADVERTISE
          value: {{ printf "$(POD_NAME).%s:%s" (include "meta-mcp.headless" .) (include "meta-mcp.grpcPort" $root) }}
        {{- end }}
        {{- with $values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - { name: grpc, containerPort: {{ include "meta-mcp.grpcPort" $root }} }
        {{- if eq .component "gateway" }}
        - { name: http, containerPort: {{ include "meta-mcp.httpPort" $root }} }
        {{- else }}
        - { name: metrics, containerPort: {{ include "meta-mcp.metricsPort" $root }} }
        {{- end }}
      {{- if eq .component "gateway" }}
      startupProbe: { httpGet: { path: /healthz, port: http, scheme: {{ include "meta-mcp.scheme" $root | upper }} }, periodSeconds: 2, failureThreshold: 60 }
      livenessProbe: { httpGet: { path: /healthz, port: http, scheme: {{ include "meta-mcp.scheme" $root | upper }} }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
      readinessProbe: { httpGet: { path: /readyz, port: http, scheme: {{ include "meta-mcp.scheme" $root | upper }} }, periodSeconds: 3, timeoutSeconds: 2, failureThreshold: 2 }
      {{- else }}
      # gRPC asks for a certificate, which the kubelet has not: health has a port of its own.
      startupProbe: { grpc: { port: {{ include "meta-mcp.probePort" $root }} }, periodSeconds: 2, failureThreshold: 60 }
      livenessProbe: { tcpSocket: { port: {{ include "meta-mcp.probePort" $root }} }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
      readinessProbe: { grpc: { port: {{ include "meta-mcp.probePort" $root }} }, periodSeconds: 3, timeoutSeconds: 2, failureThreshold: 2 }
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/meta-mcp, readOnly: true }
        - { name: data, mountPath: /var/lib/meta-mcp }
        - { name: tmp, mountPath: /tmp }
  volumes:
    {{- if ne .component "audit" }}
    - name: data
      emptyDir: { sizeLimit: 1Gi }
    {{- end }}
    - name: tmp
      emptyDir: { sizeLimit: 256Mi }
    - name: config
      projected:
        defaultMode: 0440
        sources:
          {{- include "meta-mcp.configSources" . | nindent 10 }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "meta-mcp.selector" $ | nindent 10 }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The stop may take: leaving the balancer, calls in flight (gateway.drainMs), ending the servers. */}}
{{- define "meta-mcp.graceSeconds" -}}
{{- $gateway := default dict .Values.settings.gateway -}}
{{- $drain := default 10000 (get $gateway "drainMs") | int64 -}}
{{ add .Values.drainSeconds (div (add $drain 999) 1000) 20 }}
{{- end -}}

{{/* What is below /etc/meta-mcp: only what the service needs. Takes (root, component). */}}
{{- define "meta-mcp.configSources" -}}
{{- $root := .root -}}
{{- $name := include "meta-mcp.fullname" $root -}}
- configMap:
    name: {{ $name }}-{{ .component }}
    items: [ { key: config.json, path: config.json } ]
- secret:
    name: {{ default (include "meta-mcp.generated" $root) $root.Values.sealingKeys.existingSecret }}
    items: [ { key: keys.json, path: secrets/keys.json } ]
- secret:
    name: {{ include "meta-mcp.tlsSecret" . | trim }}
    items:
      - { key: tls.crt, path: tls/tls.crt }
      - { key: tls.key, path: tls/tls.key }
      - { key: ca.crt, path: tls/ca.crt }
- secret:
    name: {{ include "meta-mcp.generated" $root }}
    items:
      - { key: metrics-key, path: secrets/metrics-key }
      {{- if and (eq .component "gateway") $root.Values.auth.generateAdminKey }}
      - { key: admin-key, path: secrets/admin-key }
      {{- end }}
      {{- if and (eq .component "gateway") $root.Values.auth.generateAuditorKey }}
      - { key: auditor-key, path: secrets/auditor-key }
      {{- end }}
      {{- if and (eq .component "audit") (not $root.Values.audit.signingKey.existingSecret) }}
      - { key: audit-key.pem, path: secrets/audit-key.pem }
      {{- end }}
{{- if and (eq .component "audit") $root.Values.audit.signingKey.existingSecret }}
- secret:
    name: {{ $root.Values.audit.signingKey.existingSecret }}
    items: [ { key: audit-key.pem, path: secrets/audit-key.pem } ]
{{- end }}
{{- if eq .component "gateway" }}
{{- with $root.Values.gateway.tls }}
{{- if .existingSecret }}
- secret:
    name: {{ .existingSecret }}
    items:
      - { key: tls.crt, path: listener/tls.crt }
      - { key: tls.key, path: listener/tls.key }
{{- end }}
{{- if .clientCa.existingSecret }}
- secret:
    name: {{ .clientCa.existingSecret }}
    items: [ { key: {{ .clientCa.key }}, path: listener/client-ca.crt } ]
{{- end }}
{{- end }}
{{- range $root.Values.auth.keys }}
- secret:
    name: {{ .existingSecret.name }}
    items: [ { key: {{ .existingSecret.key }}, path: keys/{{ .name }} } ]
{{- end }}
{{- else }}
{{- if $root.Values.postgresql.bundled }}
- secret:
    name: {{ include "meta-mcp.generated" $root }}
    items: [ { key: postgres-password, path: secrets/postgres-password } ]
{{- else }}
- secret:
    name: {{ required "database.existingSecret.name is needed with postgresql.bundled=false" $root.Values.database.existingSecret.name }}
    items: [ { key: {{ $root.Values.database.existingSecret.key }}, path: database/url } ]
{{- with $root.Values.database.caSecret }}
- secret:
    name: {{ . }}
    items: [ { key: ca.crt, path: database/ca.crt } ]
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .component "connector") $root.Values.stdioServers }}
- secret:
    name: {{ include "meta-mcp.generated" $root }}
    items: [ { key: servers-token, path: secrets/servers-token } ]
{{- end }}
{{- end -}}
