#!/usr/bin/env bash
# A node that misses a million buys, and full load that includes snapshots and purges: prints how
# long the node takes to catch up while the storm goes on, and how many elections there were.
#   bench/endurance.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 2; }
cargo build --release --bin flashnode
dir=$(mktemp -d)
declare -A pids
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$dir"' EXIT
peers=1=127.0.0.1:17101,2=127.0.0.1:17102,3=127.0.0.1:17103
start() {
  target/release/flashnode --id "$1" --peers $peers --http "127.0.0.1:1810$1" --data "$dir/$1" 2>> "$dir/$1.log" &
  pids[$1]=$!
}
field() { curl -s "127.0.0.1:18101/v1/cluster" | tr '{' '\n' | grep "\"id\":$1," | sed "s/.*\"$2\":\"\?\([a-z0-9]*\).*/\1/"; }
metric() { curl -s "127.0.0.1:1810$1/metrics" | awk -v m="$2" '$1 == m {print $2}'; }
for id in 1 2 3; do start $id; done
until curl -sf 127.0.0.1:18101/readyz >/dev/null; do sleep 0.1; done
curl -sf -X PUT 127.0.0.1:18101/v1/products/sneaker -H 'Content-Type: application/json' \
  -d '{"name":"Sneaker","stock":1000000000}' >/dev/null
victim=3
[ "$(field 3 role)" = leader ] && victim=2
kill -9 "${pids[$victim]}"
for id in 1 2 3; do
  [ $id = $victim ] && continue
  SALT=$id wrk -t1 -c64 -d"$seconds" -s bench/buys.lua "http://127.0.0.1:1810$id" > "$dir/wrk.$id" &
  storms+=($!)
done
began=$SECONDS before=$(metric 1 flashnode_raft_leader_changes_total)
until [ "$(field 1 seq)" -gt 1000000 ]; do sleep 0.5; done
echo "1,000,000 buys accepted in $((SECONDS - began)) s while node $victim was down"
at=$(date +%s%N)
goal=$(field 1 applied)
start $victim
until reached=$(field $victim applied) && [ -n "$reached" ] && [ "$reached" -ge "$goal" ]; do sleep 0.05; done
echo "node $victim caught up with entry $goal in $((($(date +%s%N) - at) / 1000000)) ms after its process started, the storm going on"
wait "${storms[@]}"
after=$(metric 1 flashnode_raft_leader_changes_total)
cat "$dir"/wrk.* | awk -v s="$seconds" '/^RESULT/ {n += $2; e += $4} END {printf "%d buys in %d s, %d errors\n", n, s, e}'
echo "leader changes as node 1 saw them: $((after - before))"
grep -h 'caught up by a snapshot\|leads' "$dir/$victim.log" | tail -3
du -sh "$dir"/1 | awk '{print "node 1 uses " $1 " of disk"}'
