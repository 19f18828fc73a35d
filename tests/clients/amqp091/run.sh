#!/bin/bash
# Runs the client suites: run.sh [python|node|java|go|rust ...]. See README.md.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
WORK=${WORK:-$repo/target/clients-env}
mkdir -p "$WORK"
. "$here/broker.sh"
. "$here/../suites.sh"

run_rust() {
  local log=$WORK/rust.log skips=()
  while read -r line; do skips+=(--skip "$line"); done < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$here/rust/expected_failures.txt")
  (cd "$here/rust" && CARGO_TARGET_DIR=$repo/target/clients timeout 900 cargo test --locked --no-fail-fast --test amqp -- "${skips[@]}") >"$log" 2>&1
  local p f s
  read -r p f s < <(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; .* \([0-9]*\) filtered out.*/\1 \2 \3/p' "$log")
  [ -n "${p:-}" ] || { setup_failed rust "$log"; return; }
  report rust "$p" "$f" "$s" "$log"
}

broker_up || exit 2
run_suites "python node java go rust" "$@"
