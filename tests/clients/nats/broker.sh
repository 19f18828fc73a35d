# Sourced by run.sh: where the broker is, or one of our own. Sets NATS_HOST, NATS_PORT and NATS_MONITOR_PORT; unless NATS_PORT is set it starts
# $NATS_SERVER, which takes nats-server's arguments: the stand-in beside this file, which starts $POLYBUS_BIN, or nats-server itself.
. "$here/../broker.sh"

broker_up() {
  export NATS_HOST=${NATS_HOST:-127.0.0.1} NATS_SERVER=${NATS_SERVER:-$here/nats-server}
  if [ -n "${NATS_PORT:-}" ]; then
    export NATS_MONITOR_PORT=${NATS_MONITOR_PORT:-8222}
    return 0
  fi
  [ "$NATS_SERVER" != "$here/nats-server" ] || broker_folder NATS_PORT || return 1
  : "${broker_data:=$(mktemp -d)}"
  NATS_PORT=$(free_port) NATS_MONITOR_PORT=$(free_port)
  export NATS_PORT NATS_MONITOR_PORT
  # Other protocols' ports of the same broker, for tests that go from one to the other.
  POLYBUS_AMQP_PORT=$(free_port) POLYBUS_KAFKA_PORT=$(free_port)
  export POLYBUS_AMQP_PORT POLYBUS_KAFKA_PORT
  "$NATS_SERVER" -a 127.0.0.1 -p "$NATS_PORT" -m "$NATS_MONITOR_PORT" -js -sd "$broker_data/data" -l "$broker_data/log" >"$broker_data/output" 2>&1 &
  broker_pid=$!
  trap broker_down EXIT
  trap 'exit 130' INT TERM
  for _ in $(seq 300); do
    grep -qs "Server is ready" "$broker_data/log" && return 0
    kill -0 "$broker_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "the broker did not say that it is ready:" >&2
  tail -20 "$broker_data/log" "$broker_data/output" >&2
  return 1
}
