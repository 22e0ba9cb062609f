#!/usr/bin/env bash
# Cargo runs this in place of rustc for the workspace's own crates (RUSTC_WORKSPACE_WRAPPER, set by run.sh): it adds the counters that
# libFuzzer is led by (what `cargo fuzz` adds, all of them stable options), some speed, and checks that a release lacks.
# Generic code of others (prost, serde) is compiled into our crates, and so is counted too.
set -euo pipefail
for argument in "$@"; do case $argument in build_script_*) exec "$@" ;; esac; done
exec "$@" --cfg fuzzing -Copt-level=2 -Cdebug-assertions=on -Coverflow-checks=on -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
