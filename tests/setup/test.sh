#!/usr/bin/env bash
# `make test`, rung by rung, with the minutes of each. A rung that cannot start fails the run.
# HUDDLE_SKIP="page bed" leaves rungs out and ends with a line NOT TESTED; CI never sets it.
set -uo pipefail
cd "$(dirname "$0")/../.."
tests/setup/host.sh test || exit 1
eval "$(tests/setup/host.sh env)"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
SKIP=" ${HUDDLE_SKIP:-} "
CHOSEN=" ${*:-builds core border proxy bed page} "
for word in $SKIP; do case " builds core border proxy bed page " in *" $word "*) ;; *) echo "HUDDLE_SKIP: no rung named $word" >&2; exit 2 ;; esac; done

builds() {
  cargo build --workspace --all-targets --locked &&
    cargo build --release --locked -p huddle -p huddle-tests --bin huddle --bin shop &&
    make -s wasm &&
    cargo run -q --locked -p huddle-tests --bin bed -- build
}
core() {
  cargo fmt --all --check &&
    cargo clippy --workspace --all-targets --locked -- -D warnings &&
    tests/setup/borders.sh &&
    cargo test --locked -p huddle-core -p huddle-proto -p huddle-filter-core -p huddle-filter -p huddle-api -p huddle-supervisor &&
    cargo test --locked -p huddle --lib --bins &&
    cargo test --locked -p huddle-tests --lib --bins --test docs --test shop &&
    cargo test --locked -p huddle-fuzz -- --nocapture &&
    make -s dashboard-check
}
border() { # most of it waits for controllers and informers: three stories at once
  cargo test --locked -p huddle-tests --test control_plane && RUST_TEST_THREADS=3 each huddle controller/tests
}
proxy() { cargo test --locked -p huddle-tests --test proxy -- --nocapture; }
bed() {
  make -s image &&
    cargo test --locked -p huddle-tests --test wire -- --nocapture --test-threads 1 &&
    YES=1 cargo test --locked -p huddle-tests --test bed # the stories approve plans, and nobody is there to ask
}
page() { make -s dashboard-page; }

each() { # each CRATE FOLDER: every integration test of a crate, one at a time
  local t
  for t in "$2"/*.rs; do cargo test --locked -p "$1" --test "$(basename "$t" .rs)" || return 1; done
}

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
