#!/usr/bin/env bash
# D: in a storm, cut the leader off the network, and connect it again.
. "$(dirname "$0")/cluster.sh"

storm_begins
leads="$(leader)"
cut="$(container "$leads")"
of_network() { docker inspect -f "{{range \$name, \$it := .NetworkSettings.Networks}}$1{{end}}" "$cut"; }
network="$(of_network '{{$name}}')"
address="$(of_network '{{$it.IPAMConfig.IPv4Address}}')"
docker network disconnect "$network" "$cut"
say "node $leads, the leader, is cut off"
until_true "another leader" led_by_another_than "$leads"
sale_goes_on
say "node $(leader) leads, and the sale goes on"
docker network connect --ip "$address" --alias "node$leads" "$network" "$cut"
until_true "node $leads to be ready" is_ready "$leads"
say "node $leads is connected and ready again"
storm_ends
