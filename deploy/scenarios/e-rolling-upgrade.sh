#!/usr/bin/env bash
# E: in a storm, upgrade node by node to another build. While they are mixed, the cluster goes on by
# the rules that all of them know, and takes nothing that the older could not read.
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

# What a node says to a command that came with the newest rules, cursors: 404 where its build has
# none, 503 where it has and another node may not.
cursor() {
  curl -s -m 10 -o /dev/null -w '%{http_code}' -X PUT "${nodes[$1]}/v1/cursors/upgrade-$$" \
    -H 'Content-Type: application/json' -H "Idempotency-Key: upgrade-$$" \
    -d '{"expected":null,"position":7}'
}
takes_cursors() { [ "$(cursor "$1")" = 200 ]; }
has_the_cursor() {
  [ "$(curl -fs -m 5 "${nodes[$1]}/v1/cursors/upgrade-$$" | field position)" = 7 ]
}

older=
storm_begins
[ "$(cursor 1)" != 404 ] || older=1
for node in 1 2 3; do
  before="$(runs "$node")"
  is_ready "$node" || fail "node $node, which runs $before, has stopped"
  FLASHNODE_IMAGE="$FLASHNODE_NEXT" compose up -d --no-build --no-deps "node$node" >/dev/null 2>&1
  until_true "node $node to be healthy" is_healthy "$node"
  sale_goes_on
  say "node $node: $before is now $(runs "$node"), and the sale goes on"
  if [ -n "$older" ] && [ "$node" != 3 ]; then
    answer="$(cursor "$node")"
    [ "$answer" = 503 ] || fail "node $node takes a cursor before all know what that is: $answer"
  fi
done
until_true "a command of the newer rules to be taken" takes_cursors 1
sale_goes_on
for node in 1 2 3; do until_true "node $node to have it" has_the_cursor "$node"; done
if [ -n "$older" ]; then say "the newer rules hold since the last node knows them"; fi
storm_ends
say "keep FLASHNODE_IMAGE=$FLASHNODE_NEXT in the environment or in .env from now on"
