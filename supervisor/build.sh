#!/usr/bin/env bash
# Builds the supervisor to run in any image, also in one without a C library: target/supervisor/supervisor, linked statically.
#
# The compiler's own target serves (glibc's static archive comes with Debian's libc6-dev, which every linker run needs anyway), so no
# second standard library has to be fetched. Its objects live in the cache: other flags would rebuild everybody else's.
set -euo pipefail
cd "$(dirname "$0")/.."

target="$(rustc -vV | sed -n 's/^host: //p')"
cache="${HUDDLE_CACHE:-$HOME/.cache/huddle}"
out=target/supervisor
flags="-C target-feature=+crt-static --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
CARGO_TARGET_DIR="$cache/supervisor-target" RUSTFLAGS="$flags" \
    cargo build --quiet --locked --release -p huddle-supervisor --target "$target"
built="$cache/supervisor-target/$target/release/supervisor"
if readelf -lW "$built" | grep -q INTERP; then
    echo "$built asks for a dynamic linker, which foreign images may lack" >&2
    exit 1
fi
mkdir -p "$out"
cp "$built" "$out/supervisor.new"
mv "$out/supervisor.new" "$out/supervisor"
echo "$out/supervisor: $(stat -c %s "$out/supervisor") bytes"
