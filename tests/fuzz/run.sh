#!/usr/bin/env bash
# `make fuzz`: libFuzzer on every target, or on those named: run.sh MINUTES [TARGET…]. The minutes are for each target.
# What it finds beyond tests/fuzz/corpus stays in target/fuzz/TARGET (keep.sh takes of it what is worth it); an input that breaks a
# promise, takes longer than 20 s or more memory than MEMORY is written beside it and named. It needs a Rust on LLVM and a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
MEMORY=1024 # MiB of the whole process: inputs are 16 KiB at most, and what is kept of them takes less than a tenth
LONGEST=20 # seconds for one input
out=${CARGO_TARGET_DIR:-target}
lacks() { echo "huddle: make fuzz: $1" >&2; exit 1; }

minutes=${1:-1}
shift || true
[[ $minutes =~ ^[0-9]+(\.[0-9]+)?$ ]] || lacks "MINUTES is \"$minutes\", no number"
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)
for name in "$@"; do [ -d "tests/fuzz/corpus/$name" ] || lacks "no target \"$name\"; there are: $(ls tests/fuzz/corpus | xargs)"; done

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(rustc --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+' | head -1) || true
[ -n "$found" ] && command -v cargo >/dev/null || lacks "no Rust here: $wanted or newer is needed (https://rustup.rs; Debian: rustc-web and cargo-web)"
[ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -1)" = "$wanted" ] || lacks "this is Rust $found, and $wanted or newer is needed"
command -v "${CXX:-c++}" >/dev/null || lacks "libFuzzer is C++ and is compiled along: no ${CXX:-c++} here (Debian: apt-get install g++)"
# The counters that libFuzzer is led by, asked for on one function: without them it would search blindly and say nothing of it.
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
echo '#[inline(never)] pub fn sevens(all: &[u8]) -> u32 { let mut n = 0; for one in all { if *one == 7 { n += 1 } } n }' >"$trial/it.rs"
tests/fuzz/instrument.sh rustc --crate-type=lib --emit=obj -o "$trial/it.o" "$trial/it.rs" 2>"$trial/why" || lacks "this rustc cannot count what is reached: $(grep -m1 . "$trial/why")"
grep -qas sancov_cntrs "$trial/it.o" || lacks "this rustc counts nothing of what is reached (no LLVM with sancov-module in it)"

echo "huddle: building the targets; the first time takes minutes" >&2
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/instrument.sh cargo build -q --locked -p huddle-fuzz --features libfuzzer --bin fuzz
failed=()
printf '%-11s %-6s %11s %9s %7s %9s %9s\n' target "" inputs per\ s edges features new
for name in "$@"; do
  mkdir -p "$out/fuzz/$name"
  log=$out/fuzz/$name.log
  seconds=$(awk -v m="$minutes" 'BEGIN{printf "%d", m * 60}')
  touch "$trial/began"
  if HUDDLE_FUZZ_TARGET=$name "$out/debug/fuzz" -max_total_time="$seconds" -max_len=16384 -timeout=$LONGEST -rss_limit_mb=$MEMORY \
    -report_slow_units=5 -print_final_stats=1 -artifact_prefix="$out/fuzz/$name-" "$out/fuzz/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    word=held
  else
    word=BROKE; failed+=("$name")
  fi
  stat() { awk -v key="stat::$1:" '$1 == key {print $2}' "$log"; }
  last() { grep -oE " $1: [0-9]+" "$log" | tail -1 | awk '{print $2}'; }
  printf '%-11s %-6s %11s %9s %7s %9s %9s\n' "$name" "$word" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
    "$(last cov)" "$(last ft)" "$(find "$out/fuzz/$name" -type f -newer "$trial/began" | wc -l)"
done
slow=$(find "$out/fuzz" -maxdepth 1 -name '*-slow-unit-*' | xargs)
[ -z "$slow" ] || echo "huddle: inputs that took 5 s or longer: $slow" >&2
if [ ${#failed[@]} -gt 0 ]; then
  for name in "${failed[@]}"; do
    input=$(sed -nE 's/.*Test unit written to (.*)/\1/p' "$out/fuzz/$name.log" | tail -1)
    echo "$name: $(grep -m1 -A1 -E 'panicked at|ERROR: libFuzzer|SUMMARY' "$out/fuzz/$name.log" | xargs -d '\n'); ${input:-no input was written, see $out/fuzz/$name.log}" >&2
  done
  echo "huddle: mend what broke, then keep its input in tests/fuzz/corpus/TARGET" >&2
  exit 1
fi
