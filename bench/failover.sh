#!/usr/bin/env bash
# SIGKILL of the leader in a storm, again and again: prints each failover and catch-up, then the
# medians and the worst. Each round is one `flashctl demo`.
#   bench/failover.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-20}
cargo build --release --bin flashnode --bin flashctl
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for _ in $(seq "$rounds"); do
  target/release/flashctl demo --json | awk -F'[:,]' '
    /"failover_ms"/ {failover = $2} /"catch_up_ms"/ {catch_up = $2} /"verdict"/ {verdict = $2}
    END {printf "failover %d ms, catch-up %d ms, verdict %s\n", failover, catch_up, verdict}' | tee -a "$out"
done
for figure in 2 5; do
  awk -v f=$figure '{print $f}' "$out" | sort -n | awk -v f=$figure '{v[NR] = $1}
    END {printf "%s: median %d ms, worst %d ms of %d\n", f == 2 ? "failover" : "catch-up", v[int((NR + 1) / 2)], v[NR], NR}'
done
