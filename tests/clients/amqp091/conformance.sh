#!/bin/bash
# Runs other projects' own tests: conformance.sh [HOST PORT] [py-amqp|lapin|amqp-tools ...]. Without HOST PORT: AMQP_HOST, AMQP_PORT, or a broker of its own, as run.sh.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
. "$here/broker.sh"
if [ $# -ge 2 ] && [ "$2" -eq "$2" ] 2>/dev/null; then
  export AMQP_HOST=$1 AMQP_PORT=$2
  shift 2
fi
broker_up || exit 2
[ $# -gt 0 ] || set -- amqp-tools py-amqp lapin
passed=0 failed=0 skipped=0
for suite in "$@"; do
  output=$("$here/conformance/$suite.sh" "$AMQP_HOST" "$AMQP_PORT")
  read -r p f s < <(tail -1 <<<"$output" | sed 's/[^0-9 ]//g')
  echo "$output" | sed '$d'
  echo "$suite: $(tail -1 <<<"$output")"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
