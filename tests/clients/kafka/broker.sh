# Sourced by run.sh: where the broker is, or one of our own. Sets KAFKA_HOST and KAFKA_PORT; starts $POLYBUS_BIN on a free
# port with a folder of its own unless KAFKA_PORT is set.
. "$here/../broker.sh"

# broker_up [FLAG...]: flags for one of our own.
broker_up() {
  export KAFKA_HOST=${KAFKA_HOST:-127.0.0.1}
  [ -n "${KAFKA_PORT:-}" ] && return 0
  broker_folder KAFKA_PORT || return 1
  KAFKA_PORT=$(free_port)
  export KAFKA_PORT
  broker_start --amqp-listen 127.0.0.1:0 --nats-listen off --kafka-listen "127.0.0.1:$KAFKA_PORT" "$@"
}
