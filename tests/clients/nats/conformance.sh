#!/bin/bash
# Runs other projects' own tests: conformance.sh [nats-py|nats-go ...]. They start brokers themselves: $NATS_SERVER, or the stand-in beside this file.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
. "$here/broker.sh"
. "$here/../conformance.sh"
broker_up || exit 2
[ $# -gt 0 ] || set -- nats-py nats-go
run_others "$NATS_HOST" "$NATS_PORT" "$@"
