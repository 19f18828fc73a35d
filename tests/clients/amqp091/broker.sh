# Sourced by run.sh and conformance.sh: where the broker is, or one of our own.
# Sets AMQP_HOST and AMQP_PORT. Starts $POLYBUS_BIN on a free port with a folder of its own unless AMQP_PORT is set.

broker_up() {
  export AMQP_HOST=${AMQP_HOST:-127.0.0.1}
  [ -n "${AMQP_PORT:-}" ] && return 0
  : "${POLYBUS_BIN:=$repo/target/debug/polybus}"
  POLYBUS_BIN=$(realpath -m "$POLYBUS_BIN")
  export POLYBUS_BIN
  [ -x "$POLYBUS_BIN" ] || { echo "no broker at $POLYBUS_BIN: set POLYBUS_BIN, or AMQP_PORT for one that runs" >&2; return 1; }
  AMQP_PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  export AMQP_PORT
  broker_data=$(mktemp -d)
  "$POLYBUS_BIN" serve --amqp-listen "127.0.0.1:$AMQP_PORT" --data "$broker_data/data" >"$broker_data/log" 2>&1 &
  broker_pid=$!
  trap broker_down EXIT
  trap 'exit 130' INT TERM
  for _ in $(seq 300); do
    grep -qx ready "$broker_data/log" && return 0
    kill -0 "$broker_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "the broker did not say \`ready\`:" >&2
  tail -20 "$broker_data/log" >&2
  return 1
}

broker_down() {
  [ -n "${broker_pid:-}" ] || return 0
  if ! kill -0 "$broker_pid" 2>/dev/null; then
    echo "the broker ended before the tests did:" >&2
    tail -20 "$broker_data/log" >&2
  fi
  kill "$broker_pid" 2>/dev/null
  wait "$broker_pid" 2>/dev/null
  rm -rf "$broker_data"
  broker_pid=
}
