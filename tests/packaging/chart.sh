# The Helm chart: A23 (P1-Dep-2), P3-Sec-2.
chart_of() { "$ROOT/.cache/kube/bin/helm" "$1" ${2:+rel} "$ROOT/helm/meta-mcp" -n mcp --kube-version 1.34.0 "${@:3}"; }
lint_chart() { "$ROOT/.cache/kube/bin/helm" lint --strict --kube-version 1.34.0 "$ROOT/helm/meta-mcp" "$@"; }
conform() {
  # Kinds of cert-manager and the Prometheus operator are not Kubernetes' own; their fields are
  # checked by rendered.py.
  "$ROOT/.cache/kube/bin/kubeconform" -strict -summary -skip Issuer,Certificate,ServiceMonitor \
    -schema-location "$ROOT/.cache/kube/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$@"
}
render() { chart_of template rel "${@:2}" >"$WORK/$1.yaml"; }
valid_configs() { # what the real program says of each config.json in a rendering
  local file
  python3 "$ROOT/tests/packaging/rendered.py" configs "$WORK/$1.yaml" "$WORK/$1.configs" || return 1
  for file in "$WORK/$1.configs"/*.json; do
    local said
    said=$(DOCS_TOKEN=token-of-the-test HOME=$WORK "$BIN/meta-mcp" config validate "$file" 2>&1) || { echo "$said"; return 1; }
    echo "$said"
    case $said in *note:*) return 1 ;; esac
  done
}
conform_finds() { # a field that the API does not have is found
  sed 's/^  replicas: /  replica: /' "$WORK/minimal.yaml" >"$WORK/wrong.yaml"
  ! cmp -s "$WORK/wrong.yaml" "$WORK/minimal.yaml" && ! conform "$WORK/wrong.yaml"
}

check "values schema is current" "$ROOT/scripts/chart_schema" --check
check "the chart's version is the program's" grep -qx "appVersion: \"$(sed -n 's/^project(meta-mcp VERSION \([0-9.]*\).*/\1/p' "$ROOT/CMakeLists.txt")\"" "$ROOT/helm/meta-mcp/Chart.yaml"
if [ ! -x "$ROOT/.cache/kube/bin/helm" ]; then
  SKIPPED+=("chart: helm and kubeconform are not installed (scripts/setup --for check, with Go 1.24)")
elif ! python3 -c 'import yaml' 2>/dev/null; then
  SKIPPED+=("chart: python3-yaml is not installed (scripts/setup --for check)")
else
  for values in "$ROOT"/helm/meta-mcp/ci/*-values.yaml; do
    name=$(basename "$values" -values.yaml)
    check "chart $name: lint" lint_chart -f "$values"
    check "chart $name: render" render "$name" -f "$values"
    check "chart $name: Kubernetes' API (P1-Dep-2 W-6.3.3)" conform "$WORK/$name.yaml"
    check "chart $name: pods, policies, references (P1-Dep-2 P3-Sec-2)" python3 "$ROOT/tests/packaging/rendered.py" check "$WORK/$name.yaml" "$values"
    check "chart $name: config.json by meta-mcp config validate (P1-Dep-2)" valid_configs "$name"
  done
  check "a wrong field is found by the API's schema" conform_finds
  # Each wrong value alone; the message names it.
  while IFS='|' read -r set text; do
    [ -n "$set" ] || continue
    # shellcheck disable=SC2086
    check "refused: $set" refuses "$text" chart_of template rel $set
  done <<'TABLE'
--set gateway.replicas=-1|replicas
--set gateway.replicas=many|replicas
--set gatway.replicas=1|gatway
--set settings.gateway.pagesize=5|pagesize
--set settings.gateway.pageSize=0|pageSize
--set settings.gateway.listen=0.0.0.0:1|listen
--set settings.services.listen=0.0.0.0:1|services
--set settings.telemetry.logLevel=loud|logLevel
--set tls.mode=plaintext|mode
--set settings.gateway.tls.key=/k|tls
--set gateway.tls.min=1.1|min
--set gateway.tls.clientCa.existingSecret=ca|gateway.tls.existingSecret
--set network.ipFamilies[0]=IPv5|ipFamilies
--set image.digests.gateway=sha256:12|digests
--set auth.keys[0].name=ci,auth.keys[0].roles[0]=owner,auth.keys[0].existingSecret.name=a,auth.keys[0].existingSecret.key=b|roles
--set auth.keys[0].name=ci,auth.keys[0].roles[0]=viewer|existingSecret
--set stdioServers.Bad_Name.image=a,stdioServers.Bad_Name.command[0]=b|Bad_Name
--set stdioServers.git.image=a|command
--set virtualServers.dev.server[0]=x|server
--set podSecurity.userId=0|userId
--set postgresql.bundled=false|database.existingSecret.name is needed
--set gateway.ingress.enabled=true|gateway.ingress.host is needed
--set tls.mode=existingSecrets|tls.existingSecrets.
--set servers.git.url=https://x.example,stdioServers.git.image=a,stdioServers.git.command[0]=b|both servers and stdioServers
TABLE
fi
