#!/bin/sh
# Stands in for a node: says how it was called, then does what its last argument says.
echo "args: $*"
for last; do :; done
eval "$last"
