#!/bin/bash
# Runs other projects' own tests: conformance.sh [librdkafka|kafka-python ...]. With KAFKA_PORT (and KAFKA_HOST) against that broker, else against one of its own, as run.sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
. "$here/broker.sh"
. "$here/../conformance.sh"
# Both take it for given that topics have several partitions, and kafka-python that the broker's number is 0.
broker_up --kafka-partitions 4 --kafka-node-id 0 || exit 2
[ $# -gt 0 ] || set -- librdkafka kafka-python
run_others "$KAFKA_HOST" "$KAFKA_PORT" "$@"
