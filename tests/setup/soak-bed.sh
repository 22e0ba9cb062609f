#!/usr/bin/env bash
# Builds what the soaks of tests/src/soak run, then runs one: soak-bed.sh faults|pressure|merge --report FILE [WORDS…]. Called by
# `make soak-faults`, `make soak-pressure` and `make soak-merge` after tests/setup/host.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then echo "huddle: the bed needs root (namespaces, cgroups, a TUN device): run this as root" >&2; exit 1; fi
export YES=1
cargo build -q --locked -p huddle-tests -p huddle --bins
target/debug/bed build
make -s image
exec target/debug/soak "$@"
