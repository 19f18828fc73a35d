#!/bin/bash
# Runs other projects' own tests: conformance.sh [librdkafka|kafka-python ...]. With KAFKA_PORT (and KAFKA_HOST) against that broker, else against one of its own, as run.sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
. "$here/broker.sh"
# Both take it for given that topics have several partitions, and kafka-python that the broker's number is 0.
broker_up --kafka-partitions 4 --kafka-node-id 0 || exit 2
[ $# -gt 0 ] || set -- librdkafka kafka-python
passed=0 failed=0 skipped=0
for suite in "$@"; do
  output=$("$here/conformance/$suite.sh" "$KAFKA_HOST" "$KAFKA_PORT")
  read -r p f s < <(tail -1 <<<"$output" | sed 's/[^0-9 ]//g')
  echo "$output" | sed '$d'
  echo "$suite: $(tail -1 <<<"$output")"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
