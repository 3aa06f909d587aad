#!/usr/bin/env bash
# usage: sample.sh ROOT   in namespaces of its own
# Runs the quickstart in ROOT with what is in ROOT/opt/meta-mcp, as nobody in particular, calls a tool,
# and uses the command line and `meta-mcp stdio` there.
set -euo pipefail
root=$1
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/scratch"
chmod 1777 "$root/scratch"
inside() { chroot --userspec=65534:65534 "$root" env -i HOME=/scratch PATH=/opt/meta-mcp/bin:/usr/bin:/bin "$@"; }
chroot "$root" getconf GNU_LIBC_VERSION
inside sh -c 'cd /scratch && exec /srv/node /srv/samples/quickstart/run.mjs /opt/meta-mcp/bin/meta-mcp' >"$root/tmp/out" 2>&1 &
for _ in $(seq 300); do grep -q '^Meta-MCP serves' "$root/tmp/out" && break || sleep 0.2; done
cat "$root/tmp/out"
url=$(sed -n 's,^ *\(http://127.0.0.1:[0-9]*\)/mcp$,\1,p' "$root/tmp/out" | head -n 1)
[ -n "$url" ]
# A server may still be starting when the gateway serves.
for _ in $(seq 300); do
  answer=$(curl -s "$url/mcp" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
    -H 'MCP-Protocol-Version: 2026-07-28' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: everything__echo' \
    -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"everything__echo","arguments":{"message":"from a bare root"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}')
  case $answer in *UPSTREAM_UNAVAILABLE*) sleep 0.2 ;; *) break ;; esac
done
echo "$answer"
case $answer in *'Echo: from a bare root'*) ;; *) exit 1 ;; esac
inside meta-mcp --url "$url" server list
printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}' |
  inside timeout 20 meta-mcp stdio --url "$url" | grep -q '"protocolVersion":"2025-11-25"'
echo "stdio: answered"
