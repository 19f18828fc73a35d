# Sourced by each protocol's broker.sh: a broker of our own for the time of the tests, on free ports, with a folder of its own.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# certificates FOLDER: an authority, a server's certificate for localhost, a client's for guest.
certificates() {
  (
    cd "$1" || exit 1
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj "/CN=tests" -days 2 || exit 1
    for name in localhost guest; do
      openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj "/CN=$name" &&
        openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out $name.pem -extfile <(echo "subjectAltName=DNS:$name,IP:127.0.0.1") || exit 1
    done
  ) >"$1/openssl.log" 2>&1
}

# broker_folder: makes $broker_data, and says whether there is a broker to start at all.
broker_folder() {
  : "${POLYBUS_BIN:=$repo/target/debug/polybus}"
  POLYBUS_BIN=$(realpath -m "$POLYBUS_BIN")
  export POLYBUS_BIN
  [ -x "$POLYBUS_BIN" ] || { echo "no broker at $POLYBUS_BIN: set POLYBUS_BIN, or $1 for one that runs" >&2; return 1; }
  broker_data=$(mktemp -d)
  : >"$broker_data/log"
}

# broker_start FLAG...: starts it in $broker_data, waits until it is ready, and stops it when the script ends.
broker_start() {
  "$POLYBUS_BIN" serve --data "$broker_data/data" "$@" >"$broker_data/log" 2>&1 &
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
