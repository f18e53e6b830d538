#!/usr/bin/env bash
# redis-benchmark's own INCR against Redis that syncs each write (appendfsync always) and against
# three flashnodes on this machine, turn about in one run. Needs redis-server and redis-benchmark
# (Debian packages redis-server and redis-tools).
#
#   bench/redis-incr.sh [path to flashnode] [rounds] [increments a round]
#   default: target/release/flashnode 3 200000
#
# INCR_ARGS replaces redis-benchmark's "-c 50 -P 16".
set -euo pipefail
cd "$(dirname "$0")/.."
binary="${1:-target/release/flashnode}" rounds="${2:-3}" increments="${3:-200000}"
read -r -a shape <<<"${INCR_ARGS:--c 50 -P 16}"
dir="$(mktemp -d)"
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap end EXIT

# Ports below the ephemeral range that nobody listens on.
base=0
for candidate in $(seq 18000 20 19900); do
  taken=
  for port in $(seq "$candidate" $((candidate + 9))); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && taken=1
  done
  [ -n "$taken" ] || { base=$candidate; break; }
done
[ "$base" != 0 ] || { echo "no free ports" >&2; exit 1; }

mkdir "$dir/redis"
redis-server --port "$base" --bind 127.0.0.1 --dir "$dir/redis" --save '' --appendonly yes \
  --appendfsync always >"$dir/redis.log" 2>&1 &
pids+=($!)
peers="1=127.0.0.1:$((base + 1)),2=127.0.0.1:$((base + 2)),3=127.0.0.1:$((base + 3))"
for id in 1 2 3; do
  "$binary" --id "$id" --peers "$peers" --http "127.0.0.1:$((base + 3 + id))" \
    --resp "127.0.0.1:$((base + 6 + id))" --data "$dir/node-$id" >"$dir/node-$id.log" 2>&1 &
  pids+=($!)
done
for port in "$base" $((base + 7)) $((base + 8)) $((base + 9)); do
  for _ in $(seq 300); do
    # A node takes writes once the cluster has formed.
    [ "$(redis-cli -p "$port" SET warm 1 2>/dev/null)" = OK ] && break
    sleep 0.1
  done
done

# The rate, and p50 and p99 in milliseconds.
round() {
  redis-benchmark -p "$1" "${shape[@]}" -n "$increments" -t incr --csv 2>/dev/null | tail -n 1 |
    awk -F '","|"' '{ printf "%10.0f INCR/s   p50 %7.2f ms   p99 %7.2f ms\n", $3, $6, $8 }'
}
leader="$(curl -s "127.0.0.1:$((base + 4))/v1/cluster" | sed -n 's/.*"leader":\([0-9]*\).*/\1/p')"
follower=$((leader % 3 + 1))
nproc_="$(nproc)"
printf 'redis-benchmark %s -n %s -t incr, %s rounds, %s processors, load %s\n' \
  "${shape[*]}" "$increments" "$rounds" "$nproc_" "$(cut -d ' ' -f 1 /proc/loadavg)"
for _ in $(seq "$rounds"); do
  printf '%-36s' 'Redis, appendfsync always'; round "$base"
  printf '%-36s' 'flashnode, three nodes, the leader'; round $((base + 6 + leader))
  printf '%-36s' 'flashnode, three nodes, a follower'; round $((base + 6 + follower))
done
# Nothing is lost: warm-up aside, each round counted.
key=counter:__rand_int__
expected=$((2 * rounds * increments))
for id in 1 2 3; do
  counted="$(redis-cli -p $((base + 6 + id)) GET "$key")"
  [ "$counted" = "$expected" ] || { echo "node $id counts $counted, not $expected" >&2; exit 1; }
done
echo "all three nodes count $expected"
