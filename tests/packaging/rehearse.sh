#!/usr/bin/env bash
# usage: rehearse.sh META_MCP PACKAGING WORK sqlite|postgresql   in namespaces of its own
# Somebody makes virtual servers all the time; a backup is taken meanwhile; then the gateway is killed
# and everything it had is gone. It is brought back from the backup. What was answered before the
# backup began must be there; what was lost, and how long it took, is printed as figures.
set -euo pipefail
program=$1 packaging=$2 work=$3 backend=$4
mkdir -p "$work"/{before,after}
now_ms() { date +%s%3N; }
serve() { # serve FOLDER URL
  printf '{"version":1,"gateway":{"listen":"127.0.0.1:8931"}}\n' >"$work/$1/config.json"
  "$program" serve --data-dir "$work/$1" --database-url "$2" >"$work/$1.out" 2>"$work/$1.err" &
  gateway=$!
  for _ in $(seq 600); do
    ! curl -sf http://127.0.0.1:8931/readyz >/dev/null || return 0
    kill -0 "$gateway" || break
    sleep 0.05
  done
  cat "$work/$1.err"
  return 1
}
case $backend in
  sqlite) before=sqlite:$work/before/storage.db after=sqlite:$work/after/storage.db ;;
  postgresql)
    before=$METAMCP_TEST_POSTGRES_URL after=${METAMCP_TEST_POSTGRES_URL%/postgres}/restored
    psql --no-psqlrc -qc 'CREATE DATABASE restored' "$before"
    ;;
esac

serve before "$before"
write() { # until the gateway is gone: "NAME TIME" of each that was answered
  local i
  for ((i = 1; i < 100000; i++)); do
    curl -sf -o "$work/answer" -H 'Content-Type: application/json' -d "{\"meta\":{\"name\":\"made-$i\"},\"enabled\":true,\"spec\":{\"servers\":[\"*\"]}}" \
      http://127.0.0.1:8931/api/v1/virtual-servers || return 0
    echo "made-$i $(now_ms)" >>"$work/answered"
  done
}
write &
writer=$!
until [ -r "$work/answered" ] && [ "$(wc -l <"$work/answered")" -ge 50 ]; do sleep 0.1; done
began=$(now_ms)
backup=$("$packaging/backup" --data-dir "$work/before" --database-url "$before" "$work/backups" | tail -n 1)
ended=$(now_ms)
sleep 2
kill -KILL "$gateway"
wait "$gateway" || true
wait "$writer"
died=$(tail -n 1 "$work/answered" | cut -d' ' -f2)
[ "$(stat -c %a "$backup")" = 600 ]

started=$(now_ms)
"$packaging/restore" --data-dir "$work/after" --database-url "$after" "$backup"
serve after "$after"
served=$(now_ms)
cmp "$work/before/keys.json" "$work/after/keys.json"
: >"$work/there"
page=''
while :; do
  curl -sf "http://127.0.0.1:8931/api/v1/virtual-servers?pageSize=1000&pageToken=$page" >"$work/page"
  page=$(python3 - "$work/page" "$work/there" <<'PY'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    page = json.load(file)
with open(sys.argv[2], "a", encoding="utf-8") as out:
    for each in page["virtualServers"]:
        out.write(each["meta"]["name"] + "\n")
print(page.get("nextPageToken", ""))
PY
  )
  [ -n "$page" ] || break
done
kill -TERM "$gateway"
wait "$gateway"
# A second restore must not write over what is there.
! "$packaging/restore" --data-dir "$work/after" --database-url "$after" "$backup"

awk -v began="$began" 'NR == FNR { there[$1] = 1; next }
  !($1 in there) { lost++; if ($2 < began) { print "lost though answered before the backup: " $1; wrong = 1 } }
  END { print "figure: changes answered " FNR ", lost " lost + 0 ", all after the backup began"; exit wrong }' "$work/there" "$work/answered"
[ "$(wc -l <"$work/there")" -ge 50 ]
echo "figure: backup took $((ended - began)) ms; last answered change $((died - began)) ms after it began (RPO is the time between backups)"
echo "figure: from the empty place to ready $((served - started)) ms (RTO without finding out and deciding)"
