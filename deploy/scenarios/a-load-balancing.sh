#!/usr/bin/env bash
# A: nginx spreads the clicks, and every answer names the node that gave it.
. "$(dirname "$0")/cluster.sh"

answered=()
for _ in 1 2 3 4 5 6; do
  answered+=("$(curl -fsi "$url/livez" | tr -d '\r' | sed -n 's/^flashnode-node: //Ip')")
done
say "six questions were answered by nodes ${answered[*]}"
[ "$(printf '%s\n' "${answered[@]}" | sort -u | wc -l)" = 3 ] || fail "not all nodes have answered"
