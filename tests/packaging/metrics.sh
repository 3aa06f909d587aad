#!/usr/bin/env bash
# usage: metrics.sh META_MCP FOLDER   in namespaces of its own
# Leaves in FOLDER/text what /metrics says of a gateway that has one server and has run one call, and what
# the services beside it say at services.metricsListen.
set -euo pipefail
mkdir -p "$2"
cd "$2"
printf '{"version":1,"gateway":{"listen":"127.0.0.1:8931"},"services":{"metricsListen":"127.0.0.1:9103"},"mcpServers":{"gone":{"command":"/bin/false"}}}\n' >config.json
"$1" serve --config config.json --data-dir "$2/data" >out 2>err &
gateway=$!
trap 'kill "$gateway"; wait "$gateway" || true' EXIT
for _ in $(seq 100); do grep -q '^ready' out && break || sleep 0.1; done
curl -s -H 'Content-Type: application/json' -d '{"target":"gone__x","arguments":{}}' http://127.0.0.1:8931/api/v1/call >call || true
curl -s -X POST http://127.0.0.1:8931/mcp -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: gone__x' \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"gone__x","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}' >call2
curl -sf http://127.0.0.1:8931/metrics >text
curl -sf http://127.0.0.1:9103/metrics >>text
