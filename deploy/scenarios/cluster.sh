# What the scenarios share: the compose project, who leads, waiting, a storm. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
said="$(mktemp)"
storm=
trap '[ -z "$storm" ] || kill "$storm" 2>/dev/null; rm -f "$said"' EXIT

compose=(docker-compose)
if docker compose version >/dev/null 2>&1; then compose=(docker compose); fi
compose() { "${compose[@]}" "$@"; }
say() { printf '%s\n' "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

# Where a service's port is published on this machine.
address_of() {
  local published
  published="$(compose port "$1" "$2")" && [ -n "$published" ] ||
    fail "$1 is not up; start the cluster with: ${compose[*]} up -d --build"
  printf 'http://localhost:%s' "${published##*:}"
}
url="$(address_of nginx 80)"
nodes=(none)
for node in 1 2 3; do
  address="$(address_of "node$node" 8100)"
  nodes+=("$address")
done

attack() { python3 deploy/load/attack.py --url "$url" "$@"; }
container() { compose ps -q "node$1"; }
readiness() { curl -fs -m 2 "${nodes[$1]}/readyz?verbose"; }
is_ready() { readiness "$1" >/dev/null; }
is_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }

# until_true WHAT COMMAND…: waits for a minute at most.
until_true() {
  local what="$1" deadline=$((SECONDS + 60))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited a minute for $what"
    sleep 0.2
  done
}

# A field of the JSON object on standard input.
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
# of NODE FIELD: what a node that is ready says of itself; fails while it is not.
of() { readiness "$1" | field "$2" 2>/dev/null; }

# The leader, as the first node says that is ready; a leader that was cut off is not.
leader() {
  local node
  for node in 1 2 3; do
    if of "$node" leader; then return 0; fi
  done
  return 1
}
led_by_another_than() {
  local now
  now="$(leader)" && [ "$now" != "$1" ]
}

# All nodes have applied the same changes.
are_level() {
  local first second third
  first="$(of 1 seq)" && second="$(of 2 seq)" && third="$(of 3 seq)" &&
    [ "$first" = "$second" ] && [ "$second" = "$third" ]
}

# What the storm has sold so far.
sold() { curl -fs -m 5 "$url/v1/products/$(sed -n 's/^the sale of \(.*\) is open$/\1/p' "$said")" | field sold; }
has_sold() {
  local now
  now="$(sold 2>/dev/null)" && [ "$now" -ge "$1" ]
}
# Buyers are sold to at this moment.
sale_goes_on() { until_true "more buyers to be sold to" has_sold $(($(sold) + 100)); }

# Buyers come in the background until `storm_ends`, and each must be served.
storm_begins() {
  # Not by the function: its process would be a shell, and the signal that ends it would stay there.
  python3 deploy/load/attack.py --url "$url" --buyers 1000000 --threads 16 --stock 1000000 \
    --pause-ms 5 >"$said" 2>&1 &
  storm=$!
  until_true "the storm to be sold to" has_sold 100
}
storm_ends() {
  local code=0
  sale_goes_on
  kill "$storm" || true
  wait "$storm" || code=$?
  storm=
  cat "$said"
  [ "$code" = 0 ] || fail "the storm was not served"
  until_true "all nodes to be level" are_level
  say "all nodes have applied the same changes"
}
