{{- define "meta-mcp.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select: they never change. Takes (root, component). */}}
{{- define "meta-mcp.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- if .component }}
app.kubernetes.io/component: {{ .component }}
{{- end }}
{{- end -}}

{{- define "meta-mcp.labels" -}}
{{ include "meta-mcp.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes (root, image): a component or meta-mcp. */}}
{{- define "meta-mcp.image" -}}
{{- $digest := get .root.Values.image.digests .image -}}
{{- if $digest -}}
{{ printf "%s/%s@%s" .root.Values.image.registry .image $digest }}
{{- else -}}
{{ printf "%s/%s:%s" .root.Values.image.registry .image (default .root.Chart.AppVersion .root.Values.image.tag) }}
{{- end -}}
{{- end -}}

{{/* The services of this release, as JSON. */}}
{{- define "meta-mcp.components" -}}
{{- $all := list "gateway" "connector" "catalog" "workflow" -}}
{{- range $each := list "audit" "ai" -}}
{{- if (get $.Values $each).enabled -}}{{- $all = append $all $each -}}{{- end -}}
{{- end -}}
{{ toJson (dict "names" $all) }}
{{- end -}}

{{- define "meta-mcp.any" -}}
{{- if has "IPv6" .Values.network.ipFamilies -}}[::]{{- else -}}0.0.0.0{{- end -}}
{{- end -}}

{{/* The headless Service of a component, as its pods' certificates name it. */}}
{{- define "meta-mcp.headless" -}}
{{ printf "%s-%s-pods.%s.svc.%s" (include "meta-mcp.fullname" .root) .component .root.Release.Namespace .root.Values.clusterDomain }}
{{- end -}}

{{- define "meta-mcp.generated" -}}{{ include "meta-mcp.fullname" . }}-generated{{- end -}}
{{- define "meta-mcp.grpcPort" -}}9101{{- end -}}
{{- define "meta-mcp.probePort" -}}9102{{- end -}}
{{- define "meta-mcp.metricsPort" -}}9103{{- end -}}
{{- define "meta-mcp.httpPort" -}}8931{{- end -}}

{{/* What the gateway's own listener speaks. */}}
{{- define "meta-mcp.scheme" -}}{{ ternary "http" "https" (empty .Values.gateway.tls.existingSecret) }}{{- end -}}

{{- define "meta-mcp.tlsSecret" -}}
{{- if eq .root.Values.tls.mode "existingSecrets" -}}
{{ required (printf "tls.existingSecrets.%s is needed with tls.mode=existingSecrets" .component) (get .root.Values.tls.existingSecrets .component) }}
{{- else -}}
{{ printf "%s-%s-tls" (include "meta-mcp.fullname" .root) .component }}
{{- end -}}
{{- end -}}

{{- define "meta-mcp.tlsNames" -}}
{{- $short := printf "%s-%s-pods.%s.svc" (include "meta-mcp.fullname" .root) .component .root.Release.Namespace -}}
{{- $full := include "meta-mcp.headless" . -}}
{{ list $full (printf "*.%s" $full) $short (printf "*.%s" $short) | toJson }}
{{- end -}}

{{- define "meta-mcp.publicUrl" -}}
{{- if .Values.gateway.publicUrl -}}
{{ .Values.gateway.publicUrl }}
{{- else if and .Values.gateway.ingress.enabled .Values.gateway.ingress.host -}}
{{ ternary "https" "http" (not (empty .Values.gateway.ingress.tlsSecret)) }}://{{ .Values.gateway.ingress.host }}
{{- end -}}
{{- end -}}

{{/* Takes (user, group). */}}
{{- define "meta-mcp.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: {{ index . 0 }}
runAsGroup: {{ index . 1 }}
fsGroup: {{ index . 1 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "meta-mcp.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "meta-mcp.ipFamilies" -}}
{{- with .Values.network.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.network.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}
