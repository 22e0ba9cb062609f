#!/usr/bin/env bash
# The borders that hold by construction, checked: core's dependency tree, every crate alone, module sizes.
set -euo pipefail
cd "$(dirname "$0")/../.."
status=0
leaked=$(cargo tree -p huddle-core -e normal --prefix none | awk '{print $1}' | sort -u | grep -xE 'tokio|kube|kube-client|tonic|axum|prost|reqwest|hyper|rand' || true)
if [ -n "$leaked" ]; then echo "border: controller/core must stay pure, but depends on: $leaked" >&2; status=1; fi
leaked=$(cargo tree -p huddle-filter -e normal --prefix none | awk '{print $1}' | sort -u | grep -xE 'tokio|tonic|hyper' || true)
if [ -n "$leaked" ]; then echo "border: nothing asynchronous may reach the filter, but it depends on: $leaked" >&2; status=1; fi
for crate in huddle-proto huddle-filter-core huddle-filter huddle-core huddle-api huddle huddle-supervisor huddle-tests huddle-fuzz; do
  cargo check -q -p "$crate" || { echo "border: $crate does not build alone" >&2; status=1; }
done
leaked=$(cargo metadata --format-version 1 --no-deps --locked | jq -r '.packages[] | select(.name != "huddle-fuzz") | .name as $name
  | .dependencies[] | select(.name == "libfuzzer-sys" or .name == "huddle-fuzz") | $name')
if [ -n "$leaked" ]; then echo "border: fuzzing is a crate of its own, but depended on by: $leaked" >&2; status=1; fi
long=$(git ls-files '*.rs' '*.ts' | grep -vE '(^|/)(gen|dist)/' | xargs wc -l | awk '$2 != "total" && $1 > 600')
if [ -n "$long" ]; then echo "border: modules over 600 lines:" >&2; echo "$long" >&2; status=1; fi
exit $status
