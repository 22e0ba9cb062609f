#!/usr/bin/env bash
# After `make fuzz`: keep.sh [TARGET…] takes into tests/fuzz/corpus what reaches code that nothing there reaches, the smallest first, until a
# target has MOST inputs or SIZE bytes. How often code is reached does not count here. So little is kept because `make test` replays all of it.
set -euo pipefail
cd "$(dirname "$0")/../.."
MOST=40 SIZE=16384
out=${CARGO_TARGET_DIR:-target}
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)
for name in "$@"; do
  kept=tests/fuzz/corpus/$name
  best=$out/fuzz/$name-best
  rm -rf "$best"
  cp -r "$kept" "$best"
  HUDDLE_FUZZ_TARGET=$name "$out/debug/fuzz" -merge=1 -use_counters=0 -max_len=16384 "$best" "$out/fuzz/$name" >"$out/fuzz/$name-keep.log" 2>&1
  count=$(ls "$kept" | wc -l) size=$(cat "$kept"/* | wc -c)
  # libFuzzer names what it adds by 40 hex digits.
  while read -r bytes file; do
    [ $count -lt $MOST ] && [ $((size + bytes)) -le $SIZE ] || break
    cp "$best/$file" "$kept/reached-${file:0:8}"
    count=$((count + 1)) size=$((size + bytes))
  done < <(find "$best" -type f -printf '%s %f\n' | grep -E ' [0-9a-f]{40}$' | sort -n)
  echo "$name: $count inputs, $size bytes"
done
