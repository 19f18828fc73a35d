#!/bin/bash
# Runs the client suites: run.sh [python|java|tools|go|node|kcat ...]. See README.md.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
WORK=${WORK:-$repo/target/clients-env}/kafka
mkdir -p "$WORK"
. "$here/broker.sh"
. "$here/../suites.sh"

# counted NAME COMMAND...: a suite that prints `ok NAME` and `not ok NAME` with what it saw, and `skipped NAME`.
counted() {
  local name=$1 log=$WORK/$1.log
  shift
  timeout 300 "$@" >"$log" 2>&1
  local p f s
  p=$(grep -c '^ok ' "$log") f=$(grep -c '^not ok ' "$log") s=$(grep -c '^skipped ' "$log")
  [ "$((p + f))" != 0 ] || { setup_failed "$name" "$log"; return; }
  grep -v '^ok ' "$log" >"$log.failed"
  report "$name" "$p" "$f" "$s" "$log.failed"
}

# The distribution's jars, with their dependencies, as its own scripts have them on their class path.
run_tools() {
  local jars=$WORK/tools/jars log=$WORK/tools.log
  if ! cmp -s "$here/tools/pom.xml" "$jars/pom.xml"; then
    rm -rf "$jars"
    { (cd "$here/tools" && timeout 500 mvn -q -B -Dtests.build="$WORK/tools/build" dependency:copy-dependencies -DoutputDirectory="$jars") &&
      cp "$here/tools/pom.xml" "$jars/"; } >"$log" 2>&1 || { setup_failed tools "$log"; return; }
  fi
  PYTHONDONTWRITEBYTECODE=1 KAFKA_JARS=$jars counted tools python3 "$here/tools/tools.py"
}

run_kcat() { counted kcat "$here/kcat/kcat.sh"; }

broker_up || exit 2
run_suites "python java tools go node kcat" "$@"
