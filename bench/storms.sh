#!/usr/bin/env bash
# Storms of holders and by batches on three nodes, each with its audit: prints how many holds were
# confirmed and how many buys accepted in a second, the best and the worst of each.
#   bench/storms.sh [ROUNDS] [BUYERS]      (after `cargo build --release`)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3} buyers=${2:-60000}
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$dir"' EXIT
peers=1=127.0.0.1:17101,2=127.0.0.1:17102,3=127.0.0.1:17103
export FLASHCTL_NODES=127.0.0.1:18101,127.0.0.1:18102,127.0.0.1:18103
for id in 1 2 3; do
  target/release/flashnode --id $id --peers $peers --http 127.0.0.1:1810$id --data "$dir/$id" 2> "$dir/$id.log" &
  pids+=($!)
done
until target/release/flashctl status >/dev/null 2>&1; do sleep 0.1; done
target/release/flashctl product create sneaker --stock 1000000000 >/dev/null
# Prints the figure of each round; a storm that its audit does not let pass ends this.
figures() { # name, key, flags…
  local name=$1 key=$2 told=()
  for _ in $(seq "$rounds"); do
    told+=("$(target/release/flashctl storm --product sneaker --json "${@:3}" | grep -m1 "\"$key\"" | tr -dc 0-9)")
  done
  printf '%s: %s\n' "$name" "$(printf '%s\n' "${told[@]}" | sort -n | xargs)"
}
uptime
figures 'holds confirmed a second, 256 at a time' confirmed_per_second --buyers "$buyers" --concurrency 256 --holds 100% --hold-ttl 60s
figures 'orders a second, half of them from holds of which a fifth is abandoned' accepted_per_second \
  --buyers "$buyers" --concurrency 256 --holds 50% --abandon 20% --hold-ttl 10s
figures 'buys accepted a second, 1,000 a call, 6 calls at a time' accepted_per_second --buyers $((buyers * 10)) --batch 1000
uptime
