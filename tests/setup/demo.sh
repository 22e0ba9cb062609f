#!/usr/bin/env bash
# Builds what the demo runs, then runs it: demo.sh [--check] [--no-act] [--pressure] [--merge]. Called by `make demo` after tests/setup/host.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then echo "huddle: the bed needs root (namespaces, cgroups, a TUN device): run make demo as root" >&2; exit 1; fi
echo "huddle: building (the first time: Kubernetes, Istio and containerd from source)"
cargo build -q --locked -p huddle-tests -p huddle --bins
target/debug/bed build
make -s image
exec target/debug/demo "$@"
