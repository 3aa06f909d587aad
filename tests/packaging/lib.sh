# Shared by the parts of scripts/test_packaging.

# check NAME COMMAND...: runs it and counts; the output is shown when it fails.
check() {
  local name=$1 log
  shift
  log=$LOGS/$(tr -c 'A-Za-z0-9\n' '-' <<<"$name").log
  if "$@" >"$log" 2>&1 </dev/null; then
    PASSED=$((PASSED + 1))
    echo "ok: $name"
  else
    FAILED=$((FAILED + 1))
    echo "failed: $name"
    tail -n 15 "$log" | sed 's/^/    /'
  fi
}

# refuses TEXT COMMAND...: it fails, and says TEXT.
refuses() {
  local text=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "accepted: $*"
    return 1
  fi
  grep -qF -- "$text" <<<"$said" || { echo "refused without '$text': $said"; return 1; }
}

needs() { # needs TOOL WHAT: whether it is there; else WHAT is skipped, and said
  command -v "$1" >/dev/null && return 0
  SKIPPED+=("$2: $1 is not installed (scripts/setup --for check)")
  return 1
}
needs_root() {
  [ "$(id -u)" = 0 ] && return 0
  SKIPPED+=("$1: needs root, for chroot")
  return 1
}

# A bare root of a Debian release, made once per run, or taken from METAMCP_BARE_ROOTS/SUITE.tar.
bare_root() { # bare_root SUITE FOLDER
  [ ! -r "${METAMCP_BARE_ROOTS:-/nowhere}/$1.tar" ] || cp "$METAMCP_BARE_ROOTS/$1.tar" "$WORK/"
  [ -r "$WORK/$1.tar" ] || mmdebstrap --quiet --variant=minbase "$1" "$WORK/$1.tar" || return 1
  mkdir -p "$2" && tar --extract --file="$WORK/$1.tar" --directory="$2"
}

# The bundle of the programs under test; kept for the parts that need it.
bundle() {
  [ -r "$WORK/bundled" ] || { "$ROOT/scripts/release" --from "$BIN" && touch "$WORK/bundled"; }
}

clean_up() {
  if command -v buildah >/dev/null && [ -d "$WORK/containers" ]; then
    storage buildah umount --all >/dev/null 2>&1
    storage buildah rm --all >/dev/null 2>&1
    storage buildah rmi --all --force >/dev/null 2>&1
  fi
  if grep -q " $WORK/" /proc/mounts; then echo "test_packaging: left $WORK, something is mounted there" >&2; else rm -rf "$WORK"; fi
}

# buildah with a store of its own, removed at the end.
storage() {
  mkdir -p "$WORK/containers/run"
  # Layers on a file system that can stack them; else each is a copy.
  local driver=vfs
  [ "$(stat -f -c %T "$WORK")" = overlayfs ] || driver=overlay
  printf '[storage]\ndriver = "'"$driver"'"\ngraphroot = "%s"\nrunroot = "%s"\n' "$WORK/containers/store" "$WORK/containers/run" >"$WORK/containers/storage.conf"
  CONTAINERS_STORAGE_CONF=$WORK/containers/storage.conf BUILDAH_ISOLATION=chroot "$@"
}

# Runs a command in namespaces of its own: a loopback that nobody else uses, mounts and processes
# that end with it.
apart() {
  unshare --net --mount --pid --fork --kill-child --mount-proc bash -euc 'ip link set lo up; exec "$@"' apart "$@"
}
