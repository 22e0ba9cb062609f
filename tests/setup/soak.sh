#!/usr/bin/env bash
# What is too long for CI: three demo checks and one run without acting (A/A) beside them, then half an hour of a merged pair with all that may happen
# to it (part "steady" of soak-merge). Reports go to target/demo and target/soak;
# the table it prints is what docs/results/demo.md records.
set -euo pipefail
cd "$(dirname "$0")/../.."
export YES=1
mkdir -p target/demo
for run in 1 2 3; do # 3: all was done, and a figure fell short; the others are wanted all the same
  tests/setup/demo.sh --check --report "target/demo/run-$run.json" || [ $? = 3 ]
  [ "$run" != 1 ] || tests/setup/demo.sh --check --no-act --report target/demo/aa.json
done
jq -r '[input_filename, .together.gap_closed_p50, .together.gap_closed_p99, .together.same_node_share_after, .together.share_of_calls,
  .together.pods_moved, (.failed_requests | add)] | @tsv' target/demo/run-*.json target/demo/aa.json |
  (printf 'report\tgap p50\tgap p99\tsame node after\tshare of calls\tpods moved\tfailed\n'; cat) | column -t -s $'\t'
exec tests/setup/soak-bed.sh merge --report target/soak/steady.json steady
