#!/usr/bin/env bash
# After `make fuzz`: keep.sh [TARGET…] takes into tests/fuzz/corpus what reaches code that nothing there reaches, smallest first. How often
# it is reached does not count here, so that little is kept: `make test` replays all of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${CARGO_TARGET_DIR:-target}
[ $# -gt 0 ] || set -- $(ls "tests/fuzz/corpus")
for name in "$@"; do
  kept=tests/fuzz/corpus/$name
  HUDDLE_FUZZ_TARGET=$name "$out/debug/fuzz" -merge=1 -use_counters=0 -max_len=16384 "$kept" "$out/fuzz/$name" >"$out/fuzz/$name-keep.log" 2>&1
  # libFuzzer names a file by its 40 hex digits.
  for file in "$kept"/*; do
    base=${file##*/}
    [[ ! $base =~ ^[0-9a-f]{40}$ ]] || mv "$file" "$kept/reached-${base:0:8}"
  done
  echo "$name: $(ls "$kept" | wc -l) inputs, $(cat "$kept"/* | wc -c) bytes"
done
