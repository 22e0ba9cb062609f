#!/usr/bin/env bash
# `make fuzz`: libFuzzer on every target, or on those named: run.sh MINUTES [TARGET…]. The minutes are for each target.
# What it finds beyond tests/fuzz/corpus stays in target/fuzz/TARGET; an input that breaks a promise is written beside it and named.
set -euo pipefail
cd "$(dirname "$0")/../.."
minutes=${1:-1}
shift || true
command -v c++ >/dev/null || { echo "huddle: libFuzzer is C++ and is compiled along: no c++ here (Debian: apt-get install g++)" >&2; exit 1; }
export RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/instrument.sh
cargo build -q --locked -p huddle-fuzz --features libfuzzer --bin fuzz
unset RUSTC_WORKSPACE_WRAPPER
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)
failed=()
for name in "$@"; do
  mkdir -p "target/fuzz/$name"
  seconds=$(awk -v m="$minutes" 'BEGIN{printf "%d", m * 60}')
  if HUDDLE_FUZZ_TARGET=$name target/debug/fuzz -max_total_time="$seconds" -max_len=16384 -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="target/fuzz/$name-" "target/fuzz/$name" "tests/fuzz/corpus/$name" >"target/fuzz/$name.log" 2>&1; then
    word=held
  else
    word=BROKE; failed+=("$name")
  fi
  printf '%-11s %-6s %10s inputs  %s\n' "$name" "$word" "$(awk '/number_of_executed_units/ {print $2}' "target/fuzz/$name.log")" \
    "$(grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "target/fuzz/$name.log" | tail -1)"
done
if [ ${#failed[@]} -gt 0 ]; then
  for name in "${failed[@]}"; do
    echo "$name: $(grep -m1 -E 'panicked at|ERROR|SUMMARY' "target/fuzz/$name.log"); $(ls -t "target/fuzz/$name-"* | head -1)" >&2
  done
  exit 1
fi
