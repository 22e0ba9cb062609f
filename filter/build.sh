#!/usr/bin/env bash
# Builds the filter for Envoy: target/wasm/huddle_filter.wasm, and its SHA-256 beside it.
#
# Two ways, the first that works:
#   1. the project's own toolchain, if it has the wasm32-unknown-unknown target (rustup target add wasm32-unknown-unknown);
#   2. Debian's compiler with its own copy of the standard library's source, compiled along (-Zbuild-std):
#      apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld-22
# The second needs no host but the package registries. Its objects live in the cache, apart from everybody else's target.
set -euo pipefail
cd "$(dirname "$0")/.."

target=wasm32-unknown-unknown
cache="${HUDDLE_CACHE:-$HOME/.cache/huddle}"
out=target/wasm
build=(build --locked --lib -p huddle-filter --target "$target" --profile wasm)
# Paths of this machine do not belong into the module. (Those of the workspace are relative; naming them here would make every
# checkout rebuild the standard library that they share.)
flags="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"

has_target() {
    local directory
    directory="$(rustc --print target-libdir --target "$target" 2>/dev/null)" && [ -d "$directory" ]
}

if has_target; then
    export CARGO_TARGET_DIR="$cache/wasm-target"
    RUSTFLAGS="$flags" cargo "${build[@]}"
elif [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    export CARGO_TARGET_DIR="$cache/wasm-build"
    RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc RUSTFLAGS="$flags" PATH="/usr/bin:/bin:$PATH" \
        /usr/bin/cargo "${build[@]}" -Zbuild-std=std,panic_abort
else
    echo "The filter cannot be built: no compiler for $target. Either of:" >&2
    echo "    rustup target add $target" >&2
    echo "    apt-get install rustc-web cargo-web rust-web-src rust-web-llvm lld-22" >&2
    exit 1
fi

# The SDK exports every callback there is, and Envoy enters the VM for each exported one: headers, every piece of a body, trailers.
# Only those that the filter uses stay.
mkdir -p "$out"
built="$CARGO_TARGET_DIR/$target/wasm/huddle_filter.wasm"
unset CARGO_TARGET_DIR
cargo run --quiet --locked -p huddle-filter --example keep_exports -- "$built" "$out/huddle_filter.wasm.new" \
    memory _initialize proxy_abi_version_0_2_1 malloc \
    proxy_on_context_create proxy_on_vm_start proxy_on_configure proxy_on_tick \
    proxy_on_log proxy_on_done proxy_on_delete proxy_on_grpc_receive proxy_on_grpc_close
mv "$out/huddle_filter.wasm.new" "$out/huddle_filter.wasm"
sha256sum "$out/huddle_filter.wasm" | cut -d ' ' -f 1 >"$out/huddle_filter.wasm.sha256"
echo "$out/huddle_filter.wasm: $(stat -c %s "$out/huddle_filter.wasm") bytes, sha256 $(cat "$out/huddle_filter.wasm.sha256")"
