#!/bin/bash
# Judged by the `nats` command line ($NATS_CLI): what an operator does. Prints `ok NAME`, `not ok NAME` with what came, or `skipped NAME`.
name=cli$$x$RANDOM
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CONFIG_HOME=$work NO_COLOR=1 TZ=UTC
n() { timeout 20 "$NATS_CLI" -s "nats://$NATS_HOST:$NATS_PORT" --timeout 5s "$@" 2>&1; }
expected=$(sed 's/#.*//; s/[[:space:]]*$//' "$(dirname "$0")/expected_failures.txt")
# What is left out against polybus.
case $NATS_SERVER in "$(cd "$(dirname "$0")/.." && pwd)"/*) ;; *) expected= ;; esac

# check NAME WANTED COMMAND...: what a command prints has to match; with nothing wanted, it has to end well.
check() {
  local what=$1 wanted=$2 came code
  shift 2
  if grep -qxF "$what" <<<"$expected"; then echo "skipped $what: EXPECTED_FAILURES.md"; return; fi
  came=$("$@")
  code=$?
  if [ -n "$wanted" ] && grep -qzE "$wanted" <<<"$came" || [ "$wanted:$code" = :0 ]; then echo "ok $what"; else printf 'not ok %s\n  wanted: %s\n  came: %s\n' "$what" "$wanted" "$came"; fi
}

published_to() { # SUB-ARGUMENTS... -- PUB-ARGUMENTS...: what a subscriber prints of what is published
  local sub=()
  while [ "$1" != -- ]; do sub+=("$1"); shift; done
  shift
  n sub "${sub[@]}" >"$work/sub" &
  local subscriber=$!
  for _ in $(seq 50); do grep -q "Subscribing on" "$work/sub" && break; sleep 0.05; done
  sleep 0.2
  n pub "$@" >/dev/null
  wait "$subscriber"
  cat "$work/sub"
}

answered() {
  n reply "$name.echo" "got it" --count 1 >"$work/reply" &
  local service=$!
  for _ in $(seq 50); do grep -q "Listening on" "$work/reply" && break; sleep 0.05; done
  sleep 0.2
  n request "$name.echo" hello --raw
  wait "$service"
}

check "pub and sub" "hello there" published_to "$name.>" --count 1 -- "$name.a" "hello there"
check "sub to a queue group" "hi" published_to "$name.q" --queue workers --count 1 -- "$name.q" hi
check "headers" "Colour: red" published_to "$name.h" --count 1 -- "$name.h" x -H Colour:red
check "pub several" "Published 2 bytes" n pub "$name.n" "{{Count}}" --count 10
check "request and reply" "got it" answered
check "request to nobody" "[Nn]o responders" n request "$name.none" x
check "rtt" "nats://" n rtt
check "server check connection" "OK" n server check connection
check "bench pub" "msgs/sec" n bench pub "$name.bench" --msgs 20000 --no-progress
check "account info" "JetStream" n account info

events() { # COMMAND...: what `nats events` prints of what a command does
  n events --js-advisory >"$work/events" &
  local listener=$!
  for _ in $(seq 50); do grep -q "Listening for" "$work/events" && break; sleep 0.05; done
  sleep 0.2
  "$@" >/dev/null
  for _ in $(seq 50); do grep -q "$name-e" "$work/events" && break; sleep 0.05; done
  kill "$listener"
  wait "$listener" 2>/dev/null
  cat "$work/events"
}
check "events" "STREAM.*[cC]reate|Stream Action" events n stream add "$name-e" --subjects "$name-e" --defaults
n stream rm "$name-e" --force >/dev/null

check "stream add" "Information for Stream $name" n stream add "$name" --subjects "$name.s.>" --defaults --max-msgs-per-subject 5
check "stream ls" "$name" n stream ls -n
check "publish to it" "Published 9 bytes" n pub "$name.s.a" "message {{Count}}" --count 7
check "publish acknowledged" "Stored in Stream: $name" n pub "$name.s.b" x -J
check "stream info" "Messages: 6" n stream info "$name"
check "stream state" "Number of Subjects: 2|Active Consumers" n stream state "$name"
check "stream subjects" "$name.s.a.*5" n stream subjects "$name"
check "stream get" "message 7" n stream get "$name" 7
check "stream get last" "message 7" n stream get "$name" -S "$name.s.a"
check "stream edit" "Maximum Messages: 100" n stream edit "$name" --max-msgs 100 --force
check "stream rmm" "" n stream rmm "$name" 5 --force
check "stream get of what is deleted" "not found|no message" n stream get "$name" 5

check "consumer add" "Information for Consumer $name > pull" n consumer add "$name" pull --pull --defaults
check "consumer ls" "pull" n consumer ls "$name" -n
check "consumer next" "message 3" n consumer next "$name" pull
check "consumer next of several" "message 4" n consumer next "$name" pull --count 2
check "consumer info" "Acknowledg" n consumer info "$name" pull
check "consumer add push" "Information for Consumer $name > push" n consumer add "$name" push --target "$name.to" --deliver all --ack none --replay instant --filter '' --heartbeat 1s --flow-control --no-headers-only --defaults
check "consumer rm" "" n consumer rm "$name" push --force
check "stream purge" "Messages: 0" n stream purge "$name" --force
check "stream find" "$name" n stream find --subject "$name.s.>"
check "server check stream" "OK|WARN|CRIT" n server check stream --stream "$name"

check "stream backup" "Received|bytes|complete" n stream backup "$name" "$work/backup" --no-progress
check "stream rm" "" n stream rm "$name" --force
check "stream restore" "Restored|Information for Stream" n stream restore "$work/backup" --no-progress
check "stream rm again" "" n stream rm "$name" --force
check "stream info of none" "not found|could not pick" n stream info "$name"

check "kv add" "$name" n kv add "$name" --history 3
check "kv put" "one" n kv put "$name" key one
check "kv get" "^one" n kv get "$name" key --raw
check "kv create of one that is there" "exists|wrong last sequence" n kv create "$name" key two
check "kv update" "two" n kv update "$name" key two 1
check "kv history" "one.*two" n kv history "$name" key
check "kv ls" "key" n kv ls "$name"
check "kv del of a key" "" n kv del "$name" key --force
check "kv get of what is deleted" "not found" n kv get "$name" key
check "kv status" "$name" n kv status "$name"
check "kv del" "" n kv del "$name" --force

head -c 300000 /dev/urandom >"$work/file"
same() { n object get "$name" file --output "$work/got" --force --no-progress >/dev/null; cmp "$work/file" "$work/got" && echo same; }
check "object add" "$name" n object add "$name"
check "object put" "file" n object put "$name" "$work/file" --name file --no-progress
check "object ls" "file" n object ls "$name"
check "object info" "Size" n object info "$name" file
check "object get" "same" same
check "object del" "" n object del "$name" file --force
check "object del of the store" "" n object del "$name" --force
# Of a stream that is there: the one that bench makes itself wants atomic batches.
check "bench stream" "Stream $name was created" n stream add "$name" --subjects "$name.bench" --defaults
check "bench js pub" "msgs/sec" n bench js pub async "$name.bench" --stream "$name" --msgs 5000 --no-progress --purge
check "bench js consume" "msgs/sec" n bench js consume --stream "$name" --msgs 5000 --no-progress
n stream rm "$name" --force >/dev/null
