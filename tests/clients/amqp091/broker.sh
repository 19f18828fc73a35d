# Sourced by run.sh and conformance.sh: where the broker is, or one of our own.
# Sets AMQP_HOST and AMQP_PORT. Starts $POLYBUS_BIN on a free port with a folder of its own unless AMQP_PORT is set,
# with TLS beside it (and AMQPS_PORT, AMQP_CA, AMQP_CERT, AMQP_KEY) where openssl is there to make certificates.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# certificates FOLDER: an authority, a server's certificate for localhost, a client's for guest.
certificates() {
  (
    cd "$1" || exit 1
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj "/CN=tests" -days 2 || exit 1
    for name in localhost guest; do
      openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj "/CN=$name" &&
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $name.pem -extfile <(echo "subjectAltName=DNS:$name") || exit 1
    done
  ) >"$1/openssl.log" 2>&1
}

broker_up() {
  export AMQP_HOST=${AMQP_HOST:-127.0.0.1}
  [ -n "${AMQP_PORT:-}" ] && return 0
  : "${POLYBUS_BIN:=$repo/target/debug/polybus}"
  POLYBUS_BIN=$(realpath -m "$POLYBUS_BIN")
  export POLYBUS_BIN
  [ -x "$POLYBUS_BIN" ] || { echo "no broker at $POLYBUS_BIN: set POLYBUS_BIN, or AMQP_PORT for one that runs" >&2; return 1; }
  AMQP_PORT=$(free_port)
  export AMQP_PORT
  broker_data=$(mktemp -d)
  : >"$broker_data/log"
  local tls=()
  if [ -z "${AMQPS_PORT:-}" ] && command -v openssl >/dev/null && certificates "$broker_data"; then
    AMQPS_PORT=$(free_port) AMQP_CA=$broker_data/ca.pem AMQP_CERT=$broker_data/guest.pem AMQP_KEY=$broker_data/guest.key
    export AMQPS_PORT AMQP_CA AMQP_CERT AMQP_KEY
    tls=(--amqp-tls-listen "127.0.0.1:$AMQPS_PORT" --tls-certificate "$broker_data/localhost.pem" --tls-key "$broker_data/localhost.key" --tls-client-ca "$broker_data/ca.pem")
  fi
  "$POLYBUS_BIN" serve --amqp-listen "127.0.0.1:$AMQP_PORT" --data "$broker_data/data" "${tls[@]+"${tls[@]}"}" >"$broker_data/log" 2>&1 &
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
