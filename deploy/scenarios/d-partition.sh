#!/usr/bin/env bash
# D: in a storm, cut the leader off the network, and connect it again.
. "$(dirname "$0")/cluster.sh"

storm_begins
leads="$(leader)"
cut="$(container "$leads")"
network="$(docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}' "$cut")"
docker network disconnect "$network" "$cut"
say "node $leads, the leader, is cut off"
until_true "another leader" led_by_another_than "$leads"
say "node $(leader) leads"
docker network connect --ip "10.207.0.1$leads" --alias "node$leads" "$network" "$cut"
until_true "node $leads to be ready" is_ready "$leads"
say "node $leads is connected and ready again"
storm_ends
