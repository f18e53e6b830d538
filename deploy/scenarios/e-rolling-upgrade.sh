#!/usr/bin/env bash
# E: in a storm, upgrade node by node. While they are mixed, the cluster goes on by the older rules.
#
#   FLASHNODE_NEXT=flashnode:1.2 deploy/scenarios/e-rolling-upgrade.sh
#
# Without another image each node is made anew from the one that there is.
. "$(dirname "$0")/cluster.sh"

if [ -z "${FLASHNODE_NEXT:-}" ]; then
  FLASHNODE_NEXT=flashnode:next
  docker tag "${FLASHNODE_IMAGE:-flashnode}" "$FLASHNODE_NEXT"
fi

storm_begins
for node in 1 2 3; do
  FLASHNODE_IMAGE="$FLASHNODE_NEXT" compose up -d --no-build --no-deps "node$node" >/dev/null 2>&1
  until_true "node $node to be healthy" is_healthy "$node"
  until_true "node $node to be ready" is_ready "$node"
  say "node $node runs $(docker inspect -f '{{.Config.Image}}' "$(container "$node")")"
done
storm_ends
