#!/usr/bin/env bash
# F: what nginx does for a click that a node leaves without an answer: it asks again, elsewhere and
# under one key, so that the buyer is told what came of it and is sold to once.
. "$(dirname "$0")/cluster.sh"

product="second-try-$$-$RANDOM"
headers="$(mktemp)"
status="$(mktemp)"
frozen=()
cut=()
# Connects what is cut off, each where it was.
connect() {
  local node address container
  for node in "${cut[@]}"; do
    IFS=/ read -r node address container <<<"$node"
    docker network connect --ip "$address" --alias "$node" "$network" "$container"
  done
  cut=()
}
finish() {
  # A node that stays frozen, or cut off, would be so for ever.
  local node
  for node in "${frozen[@]}"; do docker unpause "$node" >/dev/null 2>&1 || true; done
  connect >/dev/null 2>&1 || true
  rm -rf "$said" "$headers" "$status" "${answers:-}"
}
trap finish EXIT
curl -fs -o /dev/null -X PUT "$url/v1/products/$product" -H 'Content-Type: application/json' \
  -d '{"name":"Drop","stock":1000}' || fail "the sale does not open"
clicks=0

# One click at $url, its answer in $said, $headers and $status; with more arguments of curl.
click() {
  curl -s -m 60 -o "$said" -D "$headers" -w '%{http_code}' "$url/v1/buys" \
    -H 'Content-Type: application/json' "$@" >"$status" \
    -d "{\"product_id\":\"$product\",\"user_id\":\"buyer-$clicks\",\"quantity\":1}" || true
}
header() { tr -d '\r' <"$headers" | sed -n "s/^$1: //Ip"; }
is_sold() {
  [ "$(cat "$status")" = 201 ] || fail "$1: $(cat "$status") $(cat "$said")"
}
# Of so many further clicks nobody was told what came of them.
each_is_sold_to_once() {
  local units unknown="${1:-0}"
  units="$(curl -fs "$url/v1/products/$product" | field sold)"
  [ "$units" -ge "$clicks" ] && [ "$units" -le $((clicks + unknown)) ] ||
    fail "$clicks clicks were accepted, $unknown unknown, and $units units are sold"
}
# Clicks one after another until one has no answer for a second; that one is left under way.
click_until_one_waits() {
  local deadline
  for _ in $(seq 12); do
    clicks=$((clicks + 1))
    click &
    asked=$!
    deadline=$(($(date +%s%N) + 1000000000))
    while kill -0 "$asked" 2>/dev/null; do
      [ "$(date +%s%N)" -lt "$deadline" ] || return 0
      sleep 0.05
    done
    wait "$asked"
    is_sold "a click that needed no second try"
  done
  fail "no click came to the frozen node"
}

# 1. A click without a key is given one, and told it.
clicks=1
click
is_sold "a click without a key"
key="$(header idempotency-key)" order="$(field order_id <"$said")"
[ -n "$key" ] || fail "a click without a key was given none"
click -H "Idempotency-Key: $key" -H 'Flashnode-Attempt: 2'
is_sold "the same click under its key"
[ "$(header idempotent-replayed) $(field order_id <"$said")" = "true $order" ] ||
  fail "the same key made another order: $(cat "$said")"
each_is_sold_to_once
say "a click without a key got one, and under it the same order again"

# 2. The leader takes a click, and is killed before it answers. Frozen first, for it is quick.
node="$(leader)"
killed="$(container "$node")"
frozen=("$killed")
docker pause "$killed" >/dev/null
until_true "another leader" led_by_another_than "$node"
click_until_one_waits
docker kill "$killed" >/dev/null
wait "$asked"
is_sold "a click whose node was killed"
[ "$(header flashnode-node)" != "$node" ] || fail "the killed node has answered"
each_is_sold_to_once
say "node $node was killed with a click in its hands; node $(header flashnode-node) sold, once"
docker start "$killed" >/dev/null
until_true "node $node to be ready" is_ready "$node"

# 3. No majority for longer than a node waits. nginx gives each node one of three clicks: two have no
# answer, and the leader's is "unknown". All are settled when the others are back.
node="$(leader)"
frozen=("$(container $((node % 3 + 1)))" "$(container $(((node + 1) % 3 + 1)))")
docker pause "${frozen[@]}" >/dev/null
answers="$(mktemp -d)"
asked=()
for _ in 1 2 3; do
  clicks=$((clicks + 1))
  said="$answers/$clicks.body" headers="$answers/$clicks.head" status="$answers/$clicks.status" click &
  asked+=("$!")
done
began=$SECONDS
# A node's deadline is five seconds, and only time shows that it has passed.
until [ $((SECONDS - began)) -ge 7 ]; do sleep 0.2; done
docker unpause "${frozen[@]}" >/dev/null
frozen=()
wait "${asked[@]}"
for status in "$answers"/*.status; do
  said="${status%.status}.body"
  is_sold "a click that had no majority for seven seconds"
done
rm -rf "$answers"
until_true "all nodes to be level" are_level
each_is_sold_to_once
say "two of three nodes hung for seven seconds; three clicks were sold to after them, once each"

# 4. For a moment nginx reaches no node. Who clicks then is told so (what was on its way to a node may
# come there late, and be sold); who clicks after it is not refused because each has failed lately.
of_network() { docker inspect -f "{{range \$name, \$it := .NetworkSettings.Networks}}$2{{end}}" "$1"; }
network="$(of_network "$(container 1)" '{{$name}}')"
for node in 1 2 3; do
  part="$(container "$node")"
  cut+=("node$node/$(of_network "$part" '{{$it.IPAMConfig.IPv4Address}}')/$part")
  docker network disconnect "$network" "$part"
done
answers="$(mktemp -d)"
# Clicks of as many buyers at once, for each of nginx' workers to have some; all answers are waited for.
click_together() {
  local asked=() buyer
  for buyer in $(seq 8); do
    clicks=$((clicks + 1))
    said="$answers/$clicks.body" headers="$answers/$clicks.head" status="$answers/$clicks.status" click &
    asked+=("$!")
  done
  wait "${asked[@]}"
}
click_together
for status in "$answers"/*.status; do
  case "$(cat "$status")" in 502|504) ;; *) fail "no node is there: $(cat "$status")" ;; esac
done
rm "$answers"/*
connect
click_together
clicks=$((clicks - 8))
for status in "$answers"/*.status; do
  said="${status%.status}.body"
  is_sold "a click when the nodes were there again"
done
rm -rf "$answers"
until_true "all nodes to be level" are_level
each_is_sold_to_once 8
say "no node was there for a moment; all clicks after it were sold to, once each"
