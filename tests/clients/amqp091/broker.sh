# Sourced by run.sh and conformance.sh: where the broker is, or one of our own.
# Sets AMQP_HOST and AMQP_PORT. Starts $POLYBUS_BIN on a free port with a folder of its own unless AMQP_PORT is set,
# with TLS beside it (and AMQPS_PORT, AMQP_CA, AMQP_CERT, AMQP_KEY) where openssl is there to make certificates.
. "$here/../broker.sh"

broker_up() {
  export AMQP_HOST=${AMQP_HOST:-127.0.0.1}
  [ -n "${AMQP_PORT:-}" ] && return 0
  broker_folder AMQP_PORT || return 1
  AMQP_PORT=$(free_port)
  export AMQP_PORT
  local tls=()
  if [ -z "${AMQPS_PORT:-}" ] && command -v openssl >/dev/null && certificates "$broker_data"; then
    AMQPS_PORT=$(free_port) AMQP_CA=$broker_data/ca.pem AMQP_CERT=$broker_data/guest.pem AMQP_KEY=$broker_data/guest.key
    export AMQPS_PORT AMQP_CA AMQP_CERT AMQP_KEY
    tls=(--amqp-tls-listen "127.0.0.1:$AMQPS_PORT" --tls-certificate "$broker_data/localhost.pem" --tls-key "$broker_data/localhost.key" --tls-client-ca "$broker_data/ca.pem")
  fi
  broker_start --kafka-listen off --kafka-tls-listen off --nats-listen off --amqp-listen "127.0.0.1:$AMQP_PORT" "${tls[@]+"${tls[@]}"}"
}
