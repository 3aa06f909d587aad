{{/* config.json of one service, without servers. Takes (root, component). Files named here are those
     of the projected volume in _workload.tpl. */}}
{{- define "meta-mcp.settings" -}}
{{- $root := .root -}}
{{- $config := deepCopy $root.Values.settings -}}
{{- $grpc := include "meta-mcp.grpcPort" $root -}}
{{- $services := dict
      "listen" (printf "%s:%s" (include "meta-mcp.any" $root) $grpc)
      "drainDelayMs" (mul $root.Values.drainSeconds 1000)
      "keysFile" "/etc/meta-mcp/secrets/keys.json"
      "tls" (dict "certificate" "/etc/meta-mcp/tls/tls.crt" "key" "/etc/meta-mcp/tls/tls.key" "ca" "/etc/meta-mcp/tls/ca.crt") -}}
{{- if ne .component "gateway" -}}
{{- $_ := set $services "probeListen" (printf "%s:%s" (include "meta-mcp.any" $root) (include "meta-mcp.probePort" $root)) -}}
{{- $_ := set $services "metricsListen" (printf "%s:%s" (include "meta-mcp.any" $root) (include "meta-mcp.metricsPort" $root)) -}}
{{- end -}}
{{- if not (has .component (list "catalog" "audit")) -}}
{{- $_ := set $services "catalog" (dict "address" (printf "dns:///%s:%s" (include "meta-mcp.headless" (dict "root" $root "component" "catalog")) $grpc)) -}}
{{- end -}}
{{- if and (has .component (list "gateway" "ai")) $root.Values.audit.enabled -}}
{{- $_ := set $services "audit" (dict "address" (printf "dns:///%s:%s" (include "meta-mcp.headless" (dict "root" $root "component" "audit")) $grpc)) -}}
{{- end -}}
{{- $_ := set $config "version" 1 -}}
{{- $_ := set $config "services" $services -}}
{{- $_ := set $config "telemetry" (merge (default dict $config.telemetry) (dict "logFormat" "json")) -}}
{{- if ne .component "gateway" -}}
{{- $url := "${file:/etc/meta-mcp/database/url}" -}}
{{- if $root.Values.postgresql.bundled -}}
{{- $url = printf "postgresql://metamcp:${file:/etc/meta-mcp/secrets/postgres-password}@%s-postgresql:5432/metamcp" (include "meta-mcp.fullname" $root) -}}
{{- end -}}
{{- $_ := set $config "database" (merge (dict "url" $url) (default dict $config.database)) -}}
{{- end -}}
{{- $public := include "meta-mcp.publicUrl" $root -}}
{{- if and (not (has .component (list "catalog" "audit"))) $public -}}
{{- $_ := set $config "gateway" (merge (default dict $config.gateway) (dict "publicUrl" $public)) -}}
{{- end -}}
{{- /* Every service is told, as passwords and certificates of clients are settings of all. */ -}}
{{- with $root.Values.gateway.tls -}}
{{- if .existingSecret -}}
{{- $listener := dict "certificate" "/etc/meta-mcp/listener/tls.crt" "key" "/etc/meta-mcp/listener/tls.key" "min" .min -}}
{{- if .clientCa.existingSecret -}}
{{- $_ := set $listener "clientCa" "/etc/meta-mcp/listener/client-ca.crt" -}}
{{- end -}}
{{- $_ := set $config "gateway" (merge (dict "tls" $listener) (default dict $config.gateway)) -}}
{{- else if .clientCa.existingSecret -}}
{{- fail "gateway.tls.clientCa needs gateway.tls.existingSecret: clients show certificates over TLS only" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .component "gateway") (not $root.Values.audit.enabled) -}}
{{- $_ := set $config "audit" (merge (dict "mode" "off") (default dict $config.audit)) -}}
{{- end -}}
{{- if eq .component "audit" -}}
{{- $_ := set $config "audit" (merge (dict "signingKeyFile" "/etc/meta-mcp/secrets/audit-key.pem") (default dict $config.audit)) -}}
{{- end -}}
{{- if eq .component "gateway" -}}
{{- $listen := dict "listen" (printf "%s:%s" (include "meta-mcp.any" $root) (include "meta-mcp.httpPort" $root)) -}}
{{- $_ := set $config "gateway" (merge $listen (default dict $config.gateway)) -}}
{{- end -}}
{{- $keys := list (dict "name" "metrics" "key" "${file:/etc/meta-mcp/secrets/metrics-key}" "roles" (list "viewer")) -}}
{{- if eq .component "gateway" -}}
{{- if $root.Values.auth.generateAdminKey -}}
{{- $keys = append $keys (dict "name" "admin" "key" "${file:/etc/meta-mcp/secrets/admin-key}" "roles" (list "admin")) -}}
{{- end -}}
{{- if $root.Values.auth.generateAuditorKey -}}
{{- $keys = append $keys (dict "name" "auditor" "key" "${file:/etc/meta-mcp/secrets/auditor-key}" "roles" (list "auditor")) -}}
{{- end -}}
{{- range $root.Values.auth.keys -}}
{{- $keys = append $keys (dict "name" .name "key" (printf "${file:/etc/meta-mcp/keys/%s}" .name) "roles" .roles) -}}
{{- end -}}
{{- end -}}
{{- $auth := merge (dict "keys" $keys) (default dict $config.auth) (dict "anonymousLoopback" false) -}}
{{- $_ := set $config "auth" $auth -}}
{{ toJson $config }}
{{- end -}}

{{/* mcpServers: those of the values, and the stdio servers by the address of their pods. */}}
{{- define "meta-mcp.servers" -}}
{{- $root := . -}}
{{- $servers := deepCopy .Values.servers -}}
{{- range $name, $spec := .Values.stdioServers -}}
{{- if hasKey $servers $name -}}{{- fail (printf "%s is in both servers and stdioServers" $name) -}}{{- end -}}
{{- $entry := dict
      "type" "http"
      "url" (printf "http://%s-server-%s.%s.svc.%s:8000/mcp" (include "meta-mcp.fullname" $root) $name $root.Release.Namespace $root.Values.clusterDomain)
      "allowPlainHttp" true
      "headers" (dict "Authorization" "Bearer ${file:/etc/meta-mcp/secrets/servers-token}") -}}
{{- $_ := set $servers $name (merge $entry (default dict $spec.server)) -}}
{{- end -}}
{{ toJson $servers }}
{{- end -}}

{{- define "meta-mcp.configJson" -}}
{{- $config := include "meta-mcp.settings" . | fromJson -}}
{{- if eq .component "catalog" -}}
{{- $_ := set $config "mcpServers" (include "meta-mcp.servers" .root | fromJson) -}}
{{- $_ := set $config "virtualServers" .root.Values.virtualServers -}}
{{- end -}}
{{ toPrettyJson $config }}
{{- end -}}
