#!/usr/bin/env bash
# Builds both images with buildah, podman or docker, whichever is there.
#
#   ENGINE=podman BASE=python:3.13-slim PREFIX=headrace TAG=0.1.0 containers/build.sh [TARGET]...
#
# OPTIONS are for the engine, such as OPTIONS="--isolation chroot" for a buildah in a container.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${ENGINE:-}
for candidate in buildah podman docker; do
  [[ -n $engine ]] || ! command -v $candidate >/dev/null || engine=$candidate
done
[[ -n $engine ]] || { echo "images: buildah, podman or docker is needed, or ENGINE=..." >&2; exit 1; }

[[ $# -gt 0 ]] || set -- ingest flows
containers/wheels.sh
for target; do
  # OPTIONS are several words
  # shellcheck disable=SC2086
  $engine build ${OPTIONS:-} --file Containerfile --target "$target" \
    ${BASE:+--build-arg "BASE=$BASE"} --tag "${PREFIX:-headrace}/$target:${TAG:-latest}" .
done
