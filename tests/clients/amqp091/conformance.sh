#!/bin/bash
# Runs other projects' own tests: conformance.sh [HOST PORT] [py-amqp|lapin|amqp-tools ...]. Without HOST PORT: AMQP_HOST, AMQP_PORT, or a broker of its own, as run.sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
. "$here/broker.sh"
. "$here/../conformance.sh"
if [ $# -ge 2 ] && [ "$2" -eq "$2" ] 2>/dev/null; then
  export AMQP_HOST=$1 AMQP_PORT=$2
  shift 2
fi
broker_up || exit 2
[ $# -gt 0 ] || set -- amqp-tools py-amqp lapin
run_others "$AMQP_HOST" "$AMQP_PORT" "$@"
