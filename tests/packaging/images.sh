# Container images: A23 (P1-Dep-1). Built from docker/Dockerfile on a bare base; then compose's cluster
# runs from them, with read-only roots and as no root.
make_base() {
  local container
  bare_root bookworm "$WORK/base" || return 1
  container=$(storage buildah from scratch) || return 1
  storage buildah add --quiet "$container" "$WORK/bookworm.tar" / && storage buildah commit --quiet --rm "$container" metamcp-test-base
}
build_image() { # as `docker build --target`, with the programs that are there
  storage buildah build --quiet --format docker --layers --pull-never --file "$ROOT/docker/Dockerfile" --target "$1" \
    --ignorefile "$ROOT/docker/Dockerfile.dockerignore" --build-arg BASE=localhost/metamcp-test-base --build-arg PROGRAMS=built --tag "metamcp-test/$1" "$ROOT"
}
image_is_right() { # its user, health check, entry, SBOM; and what is in it belongs to root
  local container mount
  storage buildah inspect --type image "metamcp-test/$1" >"$WORK/$1.inspect" || return 1
  python3 - "$WORK/$1.inspect" "$1" <<'PY' || return 1
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    config = json.load(file)["Docker"]["config"]
assert config["User"] == "10001:10001", config["User"]
assert config["Entrypoint"][0].startswith("/opt/meta-mcp/bin/meta-mcp"), config["Entrypoint"]
assert config["Healthcheck"]["Test"][0] == "CMD", config.get("Healthcheck")
assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
PY
  container=$(storage buildah from --pull-never "localhost/metamcp-test/$1") && mount=$(storage buildah mount "$container") || return 1
  echo "$mount" >"$WORK/$1.root"
  python3 -c 'import json,sys; names={p["name"] for p in json.load(open(sys.argv[1]))["packages"]}; assert {"libgrpc++1.51","bash","libboost1.81-dev"} & names >= {"bash"} and len(names) > 80, len(names)' \
    "$mount/opt/meta-mcp/share/sbom.spdx.json" || return 1
  [ -z "$(find "$mount/opt/meta-mcp" -perm /022 ! -type l -o ! -user 0 | head -n 1)" ] || { echo "somebody else may write below /opt/meta-mcp"; return 1; }
  [ -z "$(find "$mount/opt" "$mount/usr/bin" -name 'g++*' -o -name cmake | head -n 1)" ] || { echo "a compiler is in the image"; return 1; }
  echo "added to its base: $(du -sm "$mount/opt/meta-mcp" | cut -f1) MB"
}
cluster_runs() {
  "$ROOT/docker/prepare" "$WORK/secrets" || return 1
  bare_root bullseye "$WORK/foreign" || return 1
  apart "$ROOT/scripts/with_postgres" bash "$ROOT/tests/packaging/cluster.sh" "$ROOT" "$WORK"
}
if needs_root "images" && needs buildah "images" && needs mmdebstrap "images" && needs patchelf "images" && needs openssl "images"; then
  check "the bundle for images" bundle
  check "a bare base" make_base
  for image in gateway connector catalog workflow audit ai meta-mcp; do
    check "image $image builds" build_image "$image"
    check "image $image: user, health, SBOM, owners (P1-Dep-1 P1-Dep-4 P1-IaC-4)" image_is_right "$image"
  done
  check "compose's cluster from the images (P1-Dep-1 W-6.3.2)" cluster_runs
fi
