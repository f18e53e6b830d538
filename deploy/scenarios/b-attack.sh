#!/usr/bin/env bash
# B: 500 buyers click at one moment for 100 units. It stops exactly at 0.
. "$(dirname "$0")/cluster.sh"

attack --buyers 500 --threads 500 --stock 100 | tee "$said"
grep -q '^500 buyers: 100 sold, 400 sold out, 0 else$' "$said" || fail "not 100 of 500 were sold to"
grep -q 'holds 100 sold, 0 left of 100$' "$said" || fail "the cluster does not hold 100 sold"
