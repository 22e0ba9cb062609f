#!/usr/bin/env bash
# `make test`, rung by rung, with the minutes of each. A rung that cannot start fails the run.
# HUDDLE_SKIP="page bed" leaves rungs out and ends with a line NOT TESTED; CI never sets it.
set -uo pipefail
cd "$(dirname "$0")/../.."
tests/setup/host.sh test || exit 1
eval "$(tests/setup/host.sh env)"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# An error says by its context where it comes from; its backtrace only pushes that out of the lines of a log that people are shown.
export RUST_LIB_BACKTRACE=${RUST_LIB_BACKTRACE:-0}
SKIP=" ${HUDDLE_SKIP:-} "
CHOSEN=" ${*:-builds core border proxy bed page} "
for word in $SKIP; do case " builds core border proxy bed page " in *" $word "*) ;; *) echo "HUDDLE_SKIP: no rung named $word" >&2; exit 2 ;; esac; done

# Everything is tested as `builds` built it: cargo chooses features for what is named, so that `-p one-crate` (5 minutes of two cores) or
# `cargo run` would build much of the workspace again. That every crate builds alone is what borders.sh holds.
builds() {
  cargo build --workspace --all-targets --locked &&
    make -s wasm &&
    target/debug/bed build
}
core() {
  cargo fmt --all --check &&
    cargo clippy --workspace --all-targets --locked -- -D warnings &&
    tests/setup/borders.sh &&
    cargo test --workspace --locked --lib --bins &&
    cargo test --workspace --locked $(named $(others)) &&
    make -s dashboard-check
}
# Three stories at once, for each waits for controllers and informers now and then. What they leave of the processors (a tenth of two, looked at for a
# minute) builds the image's programs; the rest of that build comes after them.
border() {
  local idle=(nice -n 19) image="" status
  chrt --idle 0 true 2>/dev/null && idle+=(chrt --idle 0) # not every container lets a process ask for it
  if wanted bed; then
    "${idle[@]}" cargo build --release --locked -p huddle -p huddle-tests --bin huddle --bin shop &
    image=$!
  fi
  cargo test --workspace --locked --test control_plane &&
    RUST_TEST_THREADS=3 cargo test --workspace --locked $(named $CONTROLLER)
  status=$?
  [ -z "$image" ] || wait "$image" || return
  return $status
}
proxy() { cargo test --workspace --locked --test proxy -- --nocapture; }
bed() {
  cargo build -q --workspace --all-targets --locked && # nothing to do after `builds`
    make -s image BED=target/debug/bed &&
    cargo test --workspace --locked --test wire -- --nocapture --test-threads 1 &&
    YES=1 cargo test --workspace --locked --test bed # the stories approve plans, and nobody is there to ask
}
page() { make -s dashboard-page; }

wanted() { case "$SKIP" in *" $1 "*) false ;; *) case "$CHOSEN" in *" $1 "*) ;; *) false ;; esac ;; esac; }
CONTROLLER="border inside offline process scheduler see"
APART=" $CONTROLLER control_plane proxy wire bed "
named() { printf -- '--test %s ' "$@"; }
others() { # every integration test that has no rung of its own
  cargo metadata --no-deps --locked --format-version 1 | jq -r '.packages[].targets[] | select(.kind == ["test"]) | .name' | sort -u |
    while read -r name; do case "$APART" in *" $name "*) ;; *) echo "$name" ;; esac; done
}

trap 'kill $(jobs -p) 2>/dev/null' EXIT
failed=() skipped=() table=""
for rung in builds core border proxy bed page; do
  case "$CHOSEN" in *" $rung "*) ;; *) continue ;; esac
  case "$SKIP" in *" $rung "*) skipped+=("$rung"); continue ;; esac
  echo "== $rung"
  began=$(date +%s)
  if "$rung"; then word=passed; else word=FAILED; failed+=("$rung"); fi
  table+=$(printf '%-8s %-7s %5.1f min' "$rung" "$word" "$(awk -v s=$(($(date +%s) - began)) 'BEGIN{print s/60}')")$'\n'
  [ "$word" = passed ] || break
done
echo "== rungs"; printf '%s' "$table"
[ "${#skipped[@]}" = 0 ] || echo "NOT TESTED: ${skipped[*]}"
[ "${#failed[@]}" = 0 ]
