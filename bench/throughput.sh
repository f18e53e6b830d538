#!/usr/bin/env bash
# Accepted buys over HTTP, spread over three nodes, against a no-op handler: one client layout, one
# run, rounds in alternation. Prints each round, then medians and ratios. Needs wrk.
#   bench/throughput.sh [ROUNDS] [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-5}
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 2; }
cargo build --release --bin flashnode --example noop
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$dir"' EXIT
peers=1=127.0.0.1:17101,2=127.0.0.1:17102,3=127.0.0.1:17103
for id in 1 2 3; do
  target/release/flashnode --id $id --peers $peers --http 127.0.0.1:1810$id --data "$dir/$id" 2> "$dir/$id.log" &
  pids+=($!)
done
target/release/examples/noop 127.0.0.1:18201 127.0.0.1:18202 127.0.0.1:18203 &
pids+=($!)
for _ in $(seq 100); do
  curl -sf 127.0.0.1:18101/readyz >/dev/null && break
  sleep 0.1
done
curl -sf -X PUT 127.0.0.1:18101/v1/products/sneaker -H 'Content-Type: application/json' \
  -d '{"name":"Sneaker","stock":1000000000}' >/dev/null

# One wrk a node, a third of the connections each. Prints: requests/s, errors, p50 and p99 in µs.
storm() { # port-prefix connections
  local outs=() waits=()
  for id in 1 2 3; do
    SALT="$RANDOM$RANDOM$id" wrk -t1 -c$(($2 / 3)) -d"$seconds" -s bench/buys.lua \
      "http://127.0.0.1:$1$id" > "$dir/wrk.$id" &
    waits+=($!)
  done
  wait "${waits[@]}"
  cat "$dir"/wrk.? | awk '/^RESULT/ {rate += $2 / ($3 / 1e6); errors += $4; p50 += $5 / 3; if ($6 > p99) p99 = $6}
    END {printf "%d %d %d %d\n", rate, errors, p50, p99}'
}

for connections in 64 256; do
  storm 1810 $connections > /dev/null # warm up
  for round in $(seq "$rounds"); do
    noop=$(storm 1820 $connections)
    node=$(storm 1810 $connections)
    echo "$connections $noop $node" | tee -a "$dir/rounds" |
      awk '{printf "%d connections: no-op %d/s (p99 %.1f ms), flashnode %d/s (p50 %.1f ms, p99 %.1f ms), ratio %.2f, errors %d\n",
        $1, $2, $5 / 1000, $6, $8 / 1000, $9 / 1000, $6 / $2, $3 + $7}'
  done
  awk -v c=$connections '$1 == c {print $6 / $2, $2, $6}' "$dir/rounds" | sort -n |
    awk -v c=$connections '{ratio[NR] = $1} END {printf "median ratio at %d connections: %.2f (%.2f to %.2f, %d rounds)\n",
      c, ratio[int((NR + 1) / 2)], ratio[1], ratio[NR], NR}'
done
