# docker/compose.yaml with what it mounts: A23 (P1-Dep-1).
compose_configs() {
  local service out=$WORK/compose-secrets config
  "$ROOT/docker/prepare" "$out" || return 1
  for service in gateway connector catalog workflow audit ai; do
    config=$WORK/compose-$service.json
    sed -e "s,/etc/meta-mcp/tls/,$out/$service/,g" -e "s,/etc/meta-mcp/,$out/,g" "$ROOT/docker/config/$service.json" >"$config"
    HOME=$WORK "$BIN/meta-mcp" config validate "$config" || return 1
  done
}
certificates_hold() { # each is vouched for, in both roles of mTLS, and names its host and role
  local service host
  for service in gateway:gateway-2 connector:connector catalog:catalog workflow:workflow audit:audit ai:ai; do
    host=${service#*:} service=${service%:*}
    openssl verify -CAfile "$WORK/compose-secrets/ca/tls.crt" -purpose sslserver -verify_hostname "$host" "$WORK/compose-secrets/$service/tls.crt" &&
      openssl verify -CAfile "$WORK/compose-secrets/ca/tls.crt" -purpose sslclient "$WORK/compose-secrets/$service/tls.crt" &&
      openssl x509 -in "$WORK/compose-secrets/$service/tls.crt" -noout -ext subjectAltName | grep -q "spiffe://meta-mcp/$service" || return 1
  done
}
mounts_exist() { # each file that compose mounts is in the project or made by docker/prepare
  python3 - "$ROOT/docker" "$WORK/compose-secrets" <<'PY'
import os
import sys

import yaml

folder, secrets = sys.argv[1:]
with open(os.path.join(folder, "compose.yaml"), encoding="utf-8") as file:
    compose = yaml.safe_load(file)
paths = [each.split(":")[0] for service in compose["services"].values() for each in service.get("volumes", [])]
paths += [each["file"] for each in compose["secrets"].values()]
wrong = []
for path in paths:
    if path.startswith("./secrets/"):
        path = os.path.join(secrets, path.removeprefix("./secrets/"))
    elif path.startswith("./"):
        path = os.path.join(folder, path)
    elif path in compose["volumes"]:
        continue
    if not os.path.exists(path):
        wrong.append(path)
sys.exit("\n".join(wrong) or 0)
PY
}
metrics_exist() { # every metric that boards and rules name is one that a gateway serves
  apart bash "$ROOT/tests/packaging/metrics.sh" "$BIN/meta-mcp" "$WORK/metrics" &&
    python3 "$ROOT/tests/packaging/metric_names.py" "$WORK/metrics/text" "$ROOT"/docker/grafana/dashboards/*.json "$ROOT"/docker/prometheus/rules.yaml
}
if [ -x "$ROOT/.cache/kube/bin/compose-spec" ]; then
  check "compose.yaml by the reference parser (P1-Dep-1)" "$ROOT/.cache/kube/bin/compose-spec" "$ROOT/docker/compose.yaml"
else
  SKIPPED+=("compose.yaml by the reference parser: compose-spec is not installed")
fi
playbooks_are_there() { # each alert has a section that begins with a command, and says which
  python3 - "$ROOT/docker/prometheus/rules.yaml" "$ROOT/docs/playbooks/alerts.md" <<'PY'
import re
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    rules = [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"] if "alert" in rule]
with open(sys.argv[2], encoding="utf-8") as file:
    sections = dict(re.findall(r"^## (\w+)\n\n```\n(.*)\n```", file.read(), re.M))
wrong = []
for rule in rules:
    name, notes = rule["alert"], rule["annotations"]
    action = re.sub(r"\{\{.*?\}\}", "NAME", notes["action"])
    if sections.pop(name, None) != action:
        wrong.append(f"{name}: its section does not begin with {action}")
    if notes["playbook"] != f"docs/playbooks/alerts.md#{name.lower()}":
        wrong.append(f"{name}: playbook {notes['playbook']}")
print("\n".join(wrong + [f"{name}: no such alert" for name in sections]) or f"{len(rules)} alerts")
sys.exit(1 if wrong or sections or not rules else 0)
PY
}
check "each alert has its playbook (W-4.2.5)" playbooks_are_there
check "compose: configurations by meta-mcp config validate" compose_configs
check "compose: certificates (P1-Dep-4)" certificates_hold
check "compose: what is mounted is there" mounts_exist
if needs promtool "Prometheus' rules"; then
  check "Prometheus' configuration and rules" promtool check config "$ROOT/docker/prometheus/prometheus.yaml"
  check "alerts fire" promtool test rules "$ROOT/tests/packaging/alerts.yaml"
fi
needs_root "metrics of boards" && check "metrics of boards and rules exist" metrics_exist
