#!/usr/bin/env bash
# Downloads the wheels of both images into wheels/, with the indexes and proxies that pip has here.
# The images' own pip then needs no network, and checks each hash once more.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
machine=${MACHINE:-$(uname -m)} # of the images: x86_64, aarch64
[[ $machine == arm64 ]] && machine=aarch64
platforms=()
for tag in manylinux_2_34 manylinux_2_31 manylinux_2_28 manylinux_2_27 manylinux_2_26 \
  manylinux_2_24 manylinux_2_17 manylinux2014; do
  platforms+=(--platform "${tag}_$machine")
done

download() { # OPTION...
  for list in build ingest flows; do
    "$python" -m pip download --quiet --disable-pip-version-check --dest wheels \
      --no-deps --require-hashes --only-binary :all: --python-version 3.13 "${platforms[@]}" \
      --requirement "containers/$list.txt" "$@"
  done
}
# if all of them are there, no index is asked
[[ -d wheels ]] && download --no-index --find-links wheels 2>/dev/null || download
