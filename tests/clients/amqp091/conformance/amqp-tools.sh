#!/bin/bash
# Debian's amqp-tools (rabbitmq-c): amqp-tools.sh HOST PORT
. "$(dirname "$0")/../../fetch.sh"
command -v amqp-publish >/dev/null || { echo "amqp-tools is not installed"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
passed=0 failed=0 skipped=0
at=(--server="$HOST" --port="$PORT")
queue=amqp-tools-$$
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check NAME EXPECTED COMMAND...: the command's output, with its exit code after it.
check() {
  local name=$1 expected=$2 got
  shift 2
  if listed "$conformance/amqp-tools.deselect" | grep -qx "$name"; then skipped=$((skipped + 1)); return; fi
  got=$("$@" 2>"$scratch/errors"; echo "=$?")
  if [ "$got" = "$expected" ]; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAILED $name: got '$got', not '$expected': $(head -c 300 "$scratch/errors")"
  fi
}

get_until() { for _ in $(seq 100); do timeout 10 amqp-get "${at[@]}" -q "$queue" && return; sleep 0.05; done; return 2; }
lines() { printf 'a\nb\nc\n' | amqp-publish "${at[@]}" -r "$queue" -l && timeout 10 amqp-consume "${at[@]}" -q "$queue" -c 3 -- tr -d '\n'; }
large() { head -c 3000000 /dev/zero | tr '\0' 'x' | amqp-publish "${at[@]}" -r "$queue" && get_until | wc -c; }
topic() {
  timeout 15 amqp-consume "${at[@]}" -e amq.topic -r "$queue.#" -c 1 cat >"$scratch/topic" &
  for _ in $(seq 100); do amqp-publish "${at[@]}" -e amq.topic -r "$queue.a.b" -b news; kill -0 $! 2>/dev/null || break; sleep 0.05; done
  wait $!
  cat "$scratch/topic"
}
url() { amqp-declare-queue --url="amqp://guest:$1@$HOST:$PORT/$2" -q "$queue" >/dev/null; }

check declare "$queue"$'\n=0' amqp-declare-queue "${at[@]}" -q "$queue"
check empty "=2" amqp-get "${at[@]}" -q "$queue"
check publish "=0" amqp-publish "${at[@]}" -r "$queue" -b hello -p
check get "hello=0" get_until
check lines "abc=0" lines
check large $'3000000\n=0' large
check topic "news=0" topic
check url "=0" url guest %2f
check bad-password "=1" url wrong %2f
check unknown-vhost "=1" url guest nowhere
check delete $'0\n=0' amqp-delete-queue "${at[@]}" -q "$queue"
check missing "=1" amqp-get "${at[@]}" -q "$queue"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
