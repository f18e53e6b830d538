#!/usr/bin/env bash
# E: in a storm, upgrade node by node. While they are mixed, the cluster goes on by the older rules.
#
#   FLASHNODE_NEXT=flashnode:1.2 deploy/scenarios/e-rolling-upgrade.sh
#
# Without another image each node is made anew from the one that there is.
. "$(dirname "$0")/cluster.sh"

if [ -z "${FLASHNODE_NEXT:-}" ]; then
  FLASHNODE_NEXT=flashnode:next
  docker tag "$(docker inspect -f '{{.Image}}' "$(container 1)")" "$FLASHNODE_NEXT"
fi
runs() { docker inspect -f '{{.Config.Image}}' "$(container "$1")"; }

storm_begins
for node in 1 2 3; do
  before="$(runs "$node")"
  FLASHNODE_IMAGE="$FLASHNODE_NEXT" compose up -d --no-build --no-deps "node$node" >/dev/null 2>&1
  until_true "node $node to be healthy" is_healthy "$node"
  sale_goes_on
  say "node $node: $before is now $(runs "$node"), and the sale goes on"
done
storm_ends
say "keep FLASHNODE_IMAGE=$FLASHNODE_NEXT in the environment or in .env from now on"
