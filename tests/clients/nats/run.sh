#!/bin/bash
# Runs the client suites: run.sh [python|go|node|java|rust|cli ...]. See README.md.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
WORK=${WORK:-$repo/target/clients-env}/nats
mkdir -p "$WORK"
. "$here/broker.sh"
. "$here/../suites.sh"

run_rust() {
  local log=$WORK/rust.log skips=()
  if [ "$NATS_SERVER" = "$here/nats-server" ]; then
    while read -r line; do skips+=(--skip "$line"); done < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$here/rust/expected_failures.txt")
  fi
  (cd "$here/rust" && CARGO_TARGET_DIR=${CLIENTS_TARGET:-$repo/target/clients} timeout 900 cargo test --locked --no-fail-fast --test nats -- --test-threads 2 "${skips[@]+"${skips[@]}"}") >"$log" 2>&1
  local p f s
  read -r p f s < <(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; .* \([0-9]*\) filtered out.*/\1 \2 \3/p' "$log")
  [ -n "${p:-}" ] || { setup_failed rust "$log"; return; }
  report rust "$p" "$f" "$s" "$log"
}

# The command line of NATS, built from its module.
run_cli() {
  local log=$WORK/cli.log nats=$WORK/cli/nats
  if ! cmp -s "$here/cli/go.mod" "$WORK/cli/built.mod"; then
    mkdir -p "$WORK/cli"
    { (cd "$here/cli" && timeout 500 go build -o "$nats" github.com/nats-io/natscli/nats) && cp "$here/cli/go.mod" "$WORK/cli/built.mod"; } >"$log" 2>&1 ||
      { setup_failed cli "$log"; return; }
  fi
  NATS_CLI=$nats timeout 300 "$here/cli/cli.sh" >"$log" 2>&1
  local p f s
  p=$(grep -c '^ok ' "$log") f=$(grep -c '^not ok ' "$log") s=$(grep -c '^skipped ' "$log")
  [ "$((p + f))" != 0 ] || { setup_failed cli "$log"; return; }
  grep -v '^ok ' "$log" >"$log.failed"
  report cli "$p" "$f" "$s" "$log.failed"
}

broker_up || exit 2
run_suites "python go node java rust cli" "$@"
