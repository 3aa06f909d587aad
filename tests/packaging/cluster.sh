#!/usr/bin/env bash
# usage: cluster.sh PROJECT WORK   in namespaces of its own, below scripts/with_postgres
# The services of docker/compose.yaml from their images: each in a read-only root as user 10001, with
# compose's configuration, certificates and names. A stdio server in a foreign image, as the chart runs
# it. Then: a call through either gateway, a change of the catalog's file, the migration job.
set -euo pipefail
project=$1 work=$2
mount --make-rprivate /
hosts=$work/hosts
# Each host has an address of its own, so that all may use the ports of their configuration.
printf '%s\n' '127.0.0.1 localhost' '127.0.0.11 catalog' '127.0.0.12 connector' '127.0.0.13 gateway-1' '127.0.0.14 gateway-2' '127.0.0.15 server' '127.0.0.16 audit' '127.0.0.17 ai' '127.0.0.18 workflow' >"$hosts"

prepare_root() { # prepare_root NAME ROOT: read-only, with what a runtime mounts
  local place=$work/run/$1
  mkdir -p "$place"
  mount --bind "$2" "$place"
  mount -o remount,bind,ro "$place"
  mount -t proc proc "$place/proc"
  mount --rbind /dev "$place/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$place/tmp"
  mount --bind "$hosts" "$place/etc/hosts"
}
prepare_service() { # prepare_service NAME IMAGE [SERVICE]: with the configuration of SERVICE
  local place=$work/run/$1
  prepare_root "$1" "$(cat "$work/$2.root")"
  mount -t tmpfs -o mode=0700,uid=10001,gid=10001 tmpfs "$place/var/lib/meta-mcp"
  mount -t tmpfs tmpfs "$place/etc/meta-mcp"
  mkdir -p "$place/etc/meta-mcp"/{services,tls,database,keys}
  cp "$project/docker/config/${3:-$2}.json" "$place/etc/meta-mcp/config.json"
  chmod 0644 "$place/etc/meta-mcp/config.json"
  for folder in services database keys; do mount --bind "$work/secrets/$folder" "$place/etc/meta-mcp/$folder"; done
  mount --bind "$work/secrets/${3:-$2}" "$place/etc/meta-mcp/tls"
}
inside() { # inside NAME COMMAND...: as the image's user, who has no capabilities
  local name=$1
  shift
  setpriv --no-new-privs chroot --userspec=10001:10001 --groups= "$work/run/$name" \
    env -i HOME=/var/lib/meta-mcp PATH=/usr/bin:/bin "$@"
}
run() { # run NAME SERVICE [VARIABLE=VALUE...]: the image's entry point
  local name=$1 service=$2
  shift 2
  inside "$name" "$@" "/opt/meta-mcp/bin/meta-mcp-$service" --config /etc/meta-mcp/config.json --data-dir /var/lib/meta-mcp \
    >"$work/$name.out" 2>"$work/$name.err" &
}
wait_for() { # wait_for WHAT COMMAND...
  local what=$1
  shift
  for _ in $(seq 300); do
    ! "$@" >/dev/null 2>&1 || return 0
    sleep 0.2
  done
  echo "in vain waited for: $what"
  tail -n 5 "$work"/*.err
  return 1
}
DATABASE=META_MCP_DATABASE_URL=$METAMCP_TEST_POSTGRES_URL

prepare_service catalog catalog
prepare_service connector connector
prepare_service audit audit
prepare_service ai ai
prepare_service workflow workflow
prepare_service gateway-1 gateway
prepare_service gateway-2 gateway

echo "== nothing is writable but what is meant to be"
! inside catalog sh -c 'echo x >/opt/meta-mcp/x' 2>/dev/null
! inside catalog sh -c 'echo x >/etc/x' 2>/dev/null
inside catalog sh -c 'echo x >/tmp/x && echo x >/var/lib/meta-mcp/x && id -u' | grep -qx 10001

echo "== the migration job, then the services"
prepare_service job meta-mcp catalog
inside job "$DATABASE" /opt/meta-mcp/bin/meta-mcp migrate --config /etc/meta-mcp/config.json --data-dir /var/lib/meta-mcp
psql --no-psqlrc -At -c "SELECT component, count(*) FROM schema_migrations GROUP BY 1" "$METAMCP_TEST_POSTGRES_URL" | grep -q '^catalog|'
run catalog catalog "$DATABASE" META_MCP_SERVICES_LISTEN=127.0.0.11:9101 META_MCP_SERVICES_METRICS_LISTEN=127.0.0.11:9103
wait_for "the catalog" inside catalog bash -c 'exec 3<>/dev/tcp/127.0.0.11/9101'
run connector connector "$DATABASE" META_MCP_SERVICES_LISTEN=127.0.0.12:9101 META_MCP_SERVICES_METRICS_LISTEN=127.0.0.12:9103 META_MCP_SERVICES_ADVERTISE=connector:9101 SERVER_TOKEN=a-token-of-the-test-0123
run audit audit "$DATABASE" META_MCP_SERVICES_LISTEN=127.0.0.16:9101
wait_for "the audit" inside audit bash -c 'exec 3<>/dev/tcp/127.0.0.16/9101'
run ai ai "$DATABASE" META_MCP_SERVICES_LISTEN=127.0.0.17:9101 META_MCP_SERVICES_ADVERTISE=ai:9101
run workflow workflow "$DATABASE" META_MCP_SERVICES_LISTEN=127.0.0.18:9101 META_MCP_SERVICES_ADVERTISE=workflow:9101
run gateway-1 gateway META_MCP_SERVICES_LISTEN=127.0.0.13:9101 META_MCP_SERVICES_ADVERTISE=gateway-1:9101 META_MCP_GATEWAY_LISTEN=127.0.0.1:8931
run gateway-2 gateway META_MCP_SERVICES_LISTEN=127.0.0.14:9101 META_MCP_SERVICES_ADVERTISE=gateway-2:9101 META_MCP_GATEWAY_LISTEN=127.0.0.14:8931
wait_for "gateway-1, by the image's health check" inside gateway-1 /opt/meta-mcp/libexec/healthcheck ready
wait_for "gateway-2" curl -sf http://127.0.0.14:8931/readyz
! inside gateway-2 /opt/meta-mcp/libexec/healthcheck ready 8930

echo "== a stdio server in a foreign image, behind the shim"
cp -a "$project/samples/quickstart/node_modules" "$work/foreign/srv/"
cp "$project"/.cache/node/node_modules/node-linux-*/bin/node "$work/foreign/srv/node"
mkdir -p "$work/foreign/opt/meta-mcp"
touch "$work/foreign/etc/hosts"
prepare_root foreign "$work/foreign"
mount --bind "$(cat "$work/meta-mcp.root")/opt/meta-mcp" "$work/run/foreign/opt/meta-mcp"
inside foreign HOME=/tmp META_MCP_TOKEN=a-token-of-the-test-0123 /opt/meta-mcp/bin/meta-mcp translate --stdio \
  "'/srv/node' '/srv/node_modules/@modelcontextprotocol/server-everything/dist/index.js' 'stdio'" \
  --expose-streamable-http --host 0.0.0.0 --port 8000 >"$work/foreign.out" 2>"$work/foreign.err" &
wait_for "the shim" curl -sf http://127.0.0.15:8000/readyz

echo "== the catalog's file changes, both gateways call"
admin=$(cat "$work/secrets/keys/admin-key")
sed -i 's,"mcpServers": {},"mcpServers": { "everything": { "url": "http://server:8000/mcp"\, "allowPlainHttp": true\, "headers": { "Authorization": "Bearer ${SERVER_TOKEN}" } } },' \
  "$work/run/catalog/etc/meta-mcp/config.json"
call() { # call GATEWAY_URL
  curl -s "$1/mcp" -H "Authorization: Bearer $admin" -H 'Content-Type: application/json' \
    -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: everything__echo' \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"everything__echo","arguments":{"message":"through images"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'
}
answered() { call "$1" | grep -q 'Echo: through images'; }
wait_for "a call through gateway-1" answered http://127.0.0.1:8931
wait_for "a call through gateway-2" answered http://127.0.0.14:8931

echo "== the call is in the audit, a suggestion comes from the ai service"
recorded() {
  curl -sf -H "Authorization: Bearer $(cat "$work/secrets/keys/auditor-key")" "http://127.0.0.1:8931/api/v1/audit/records?action=tools/call" |
    grep -q everything__echo
}
wait_for "the record of the call" recorded
suggested() {
  curl -sf -H "Authorization: Bearer $admin" -H 'Content-Type: application/json' http://127.0.0.1:8931/api/v1/suggestions \
    -d '{"task":"echo the message hello"}' | grep -q everything.echo
}
wait_for "a suggestion" suggested

echo "== keys are asked for, metrics are there"
for part in 127.0.0.14:8931/metamcp_calls_total 127.0.0.12:9103/metamcp_connector_upstreams 127.0.0.11:9103/metamcp_catalog_revision; do
  [ "$(curl -s -o "$work/refused" -w '%{http_code}' "http://${part%/*}/metrics")" = 401 ]
  curl -sf -H "Authorization: Bearer $(cat "$work/secrets/keys/metrics-key")" "http://${part%/*}/metrics" >"$work/metrics"
  grep -q "^${part#*/}" "$work/metrics"
done

echo "== a stop is orderly"
for name in gateway-1 gateway-2 connector ai workflow audit catalog; do
  pid=$(sed -n 's/^ready .*pid=\([0-9]*\).*/\1/p' "$work/$name.out")
  kill -TERM "$pid"
  wait_for "$name to end" bash -c "! kill -0 $pid"
done
grep -L '"event":"process.stopping"' "$work"/gateway-?.err "$work"/catalog.err "$work"/connector.err "$work"/audit.err "$work"/ai.err "$work"/workflow.err | { ! grep .; }
echo "done"
