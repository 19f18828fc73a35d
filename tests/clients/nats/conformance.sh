#!/bin/bash
# Runs other projects' own tests: conformance.sh [nats-py ...]. They start brokers themselves: $NATS_SERVER, or the stand-in beside this file.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
. "$here/broker.sh"
broker_up || exit 2
[ $# -gt 0 ] || set -- nats-py
passed=0 failed=0 skipped=0
for suite in "$@"; do
  output=$("$here/conformance/$suite.sh" "$NATS_HOST" "$NATS_PORT")
  read -r p f s < <(tail -1 <<<"$output" | sed 's/[^0-9 ]//g')
  echo "$output" | sed '$d'
  echo "$suite: $(tail -1 <<<"$output")"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
