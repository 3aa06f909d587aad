# Backup and restore: P3-HA-4. `scripts/test_packaging restore` is the rehearsal of docs/runbook.md.
rehearse() { apart "$ROOT/scripts/with_postgres" bash "$ROOT/tests/packaging/rehearse.sh" "$BIN/meta-mcp" "$ROOT/packaging" "$WORK/rehearsal-$1" "$1"; }
show() { sed -n 's/^figure: /    /p' "$LOGS/backup-and-restore--$1--P3-HA-4-.log"; }
refuses_without_keys() {
  mkdir -p "$WORK/nokeys" && : >"$WORK/nokeys/storage.db"
  refuses "without its keys" "$ROOT/packaging/backup" --data-dir "$WORK/nokeys" "$WORK/nokeys/out"
}
if needs_root "backup and restore, in a network of their own"; then
  check "a backup without the keys is refused" refuses_without_keys
  check "backup and restore, sqlite (P3-HA-4)" rehearse sqlite
  show sqlite
  if needs psql "backup and restore, postgresql" && needs pg_dump "backup and restore, postgresql"; then
    check "backup and restore, postgresql (P3-HA-4)" rehearse postgresql
    show postgresql
  fi
fi
