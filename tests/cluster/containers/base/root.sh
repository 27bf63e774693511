#!/bin/bash
# Makes the base image's file system of Debian's packages, whose python3 is 3.13: root.sh FILE
set -euo pipefail
exec mmdebstrap --mode=root --variant=minbase \
  --include=python3,python3-venv,ca-certificates \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  trixie "$1"
