# The systemd units: A23, P1-Dep-4.
unit_is_right() { # systemd finds no slip, and judges it closed
  local unit=$WORK/units/$1
  mkdir -p "$WORK/units"
  # The programs are not installed here; what is checked is the rest.
  sed -E 's|^ExecStart=[^ ]+|ExecStart=/bin/true|' "$ROOT/packaging/systemd/${2:-$1}" >"$unit"
  systemd-analyze verify --man=no "$unit" && systemd-analyze security --offline=true --threshold=20 --no-pager "$unit"
}
unit_names_programs() {
  local program
  for program in meta-mcp meta-mcp-gateway meta-mcp-catalog meta-mcp-connector meta-mcp-workflow meta-mcp-audit; do
    [ -x "$ROOT/build/bundle/bin/$program" ] || return 1
  done
  grep -q '^ExecStart=/opt/meta-mcp/bin/meta-mcp serve ' "$ROOT/packaging/systemd/meta-mcp.service" &&
    grep -q '^ExecStart=/opt/meta-mcp/bin/meta-mcp-%i ' "$ROOT/packaging/systemd/meta-mcp@.service"
}
if needs systemd-analyze units; then
  check "unit meta-mcp.service" unit_is_right meta-mcp.service
  check "unit meta-mcp@gateway.service" unit_is_right meta-mcp@gateway.service meta-mcp@.service
fi
if needs patchelf "the bundle"; then
  check "the bundle is made" bundle
  check "units start programs of the bundle" unit_names_programs
fi
