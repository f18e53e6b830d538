#!/usr/bin/env bash
# C: in a storm, docker kill a follower, then the leader. The site stays up; compose brings each
# back, and it catches up by itself.
. "$(dirname "$0")/cluster.sh"

storm_begins
leads="$(leader)"
follows=$((leads % 3 + 1))
for node in "$follows" "$leads"; do
  say "docker kill: node $node, $([ "$node" = "$leads" ] && echo the leader || echo a follower)"
  docker kill "$(container "$node")" >/dev/null
  [ "$node" != "$leads" ] || until_true "another leader" led_by_another_than "$leads"
  sale_goes_on
  say "node $(leader) leads, and the sale goes on"
  compose up -d --no-build "node$node" >/dev/null 2>&1
  until_true "node $node to be ready" is_ready "$node"
  say "node $node is back"
done
storm_ends
