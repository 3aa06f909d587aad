# The release tarball: A23, C36.
tarball() { ls "$ROOT"/build/dist/meta-mcp-*.tar.gz; }
sums_hold() { (cd "$ROOT/build/dist" && sha256sum -c meta-mcp-*.sha256); }
same_bytes() { # made twice, it is the same file
  local first
  first=$(sha256sum <"$(tarball)")
  "$ROOT/scripts/release" --from "$BIN" && [ "$first" = "$(sha256sum <"$(tarball)")" ]
}
sbom_is_whole() { # SPDX: every library of the bundle has its package, every package an identity
  python3 - "$ROOT/build/bundle" <<'PY'
import json
import os
import subprocess
import sys

root = sys.argv[1]
with open(os.path.join(root, "share/sbom.spdx.json"), encoding="utf-8") as file:
    document = json.load(file)
assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
names = {each["name"] for each in document["packages"]}
ids = {each["SPDXID"] for each in document["packages"]} | {"SPDXRef-DOCUMENT"}
assert len(ids) == len(document["packages"]) + 1, "two packages with one id"
for relation in document["relationships"]:
    assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= ids, relation
assert len(document["relationships"]) == len(document["packages"]), "a package that stands for nothing"
missing = []
libraries = [each for folder in ("lib", "lib/glibc") for each in os.listdir(os.path.join(root, folder)) if ".so" in each]
for library in libraries:
    said = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True).stdout
    owners = {line.split(":")[0] for line in said.splitlines()}
    if not owners & names:
        missing.append(library)
print(len(libraries), "libraries,", len(names), "packages")
sys.exit(f"in no package of the SBOM: {missing}" if missing else 0)
PY
}
nothing_of_here() { # no library comes from outside the bundle, but the C library where it is new enough
  local program
  for program in "$ROOT"/build/bundle/libexec/meta-mcp*; do
    ldd "$program" | awk '$2 == "=>" && $3 !~ /bundle/ { print $1 }' | grep -vE '^(libc|libm|libdl|librt|libpthread|libresolv)\.so' && return 1
  done
  return 0
}
sample_runs() { # sample_runs SUITE: the sample of the README from the tarball, in a root that has nothing else
  local root=$WORK/root-$1
  bare_root "$1" "$root" || return 1
  mkdir -p "$root/opt" "$root/srv/samples" "$root/scratch"
  tar --extract --gzip --file="$(tarball)" --directory="$root/opt" || return 1
  mv "$root"/opt/meta-mcp-* "$root/opt/meta-mcp"
  cp -a "$ROOT/samples/quickstart" "$root/srv/samples/"
  cp "$ROOT"/.cache/node/node_modules/node-linux-*/bin/node "$root/srv/node"
  ! chroot "$root" sh -c 'ls /usr/lib/x86_64-linux-gnu/libgrpc* /usr/lib/aarch64-linux-gnu/libgrpc*' 2>/dev/null || return 1
  apart bash "$ROOT/tests/packaging/sample.sh" "$root"
}

if needs patchelf tarball && needs strip tarball; then
  check "the tarball is made" bundle
  check "tarball: checksums" sums_hold
  check "tarball: reproducible" same_bytes
  check "tarball: SBOM (P1-IaC-4)" sbom_is_whole
  check "tarball: no library from elsewhere" nothing_of_here
  if needs_root "the sample in bare roots" && needs mmdebstrap "the sample in bare roots"; then
    check "the sample from the tarball in a bare Debian 12" sample_runs bookworm
    check "the sample from the tarball in a Debian 11, glibc 2.31 (W-9.1.2)" sample_runs bullseye
  fi
fi
