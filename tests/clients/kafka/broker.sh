# Sourced by run.sh: where the broker is, or one of our own. Sets KAFKA_HOST and KAFKA_PORT; starts $POLYBUS_BIN on a free
# port with a folder of its own unless KAFKA_PORT is set, with TLS beside it (and KAFKAS_PORT, KAFKA_CA, KAFKA_CERT, KAFKA_KEY) where
# openssl is there to make certificates.
. "$here/../broker.sh"

# broker_up [FLAG...]: flags for one of our own.
broker_up() {
  export KAFKA_HOST=${KAFKA_HOST:-127.0.0.1}
  [ -n "${KAFKA_PORT:-}" ] && return 0
  broker_folder KAFKA_PORT || return 1
  KAFKA_PORT=$(free_port)
  export KAFKA_PORT
  local tls=()
  if command -v openssl >/dev/null && certificates "$broker_data"; then
    KAFKAS_PORT=$(free_port) KAFKA_CA=$broker_data/ca.pem KAFKA_CERT=$broker_data/guest.pem KAFKA_KEY=$broker_data/guest.key
    export KAFKAS_PORT KAFKA_CA KAFKA_CERT KAFKA_KEY
    tls=(--amqp-tls-listen off --kafka-tls-listen "127.0.0.1:$KAFKAS_PORT" --tls-certificate "$broker_data/localhost.pem" --tls-key "$broker_data/localhost.key" --tls-client-ca "$broker_data/ca.pem")
  fi
  broker_start --amqp-listen 127.0.0.1:0 --nats-listen off --kafka-listen "127.0.0.1:$KAFKA_PORT" "${tls[@]+"${tls[@]}"}" "$@"
}
