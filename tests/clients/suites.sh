# Sourced by a protocol's run.sh, which has set `here` (its folder) and WORK (where environments are made): how the suites of
# each language are run and counted. A suite is a folder named as its language; one whose tools are missing is skipped by name.

passed=0 failed=0 skipped=0

# report NAME PASSED FAILED SKIPPED LOG
report() {
  echo "$1: $2 passed, $3 failed, $4 skipped"
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
  [ "$3" = 0 ] || sed 's/^/  /' "$5" | tail -"${LINES_OF_LOG:-80}"
}

# junit NAME LOG FILE...: the counts of JUnit files. No file, or no test in it, is a failure.
junit() {
  local name=$1 log=$2 counts
  shift 2
  counts=$(python3 - "$@" <<'PY'
import sys, xml.etree.ElementTree as tree
p = f = s = 0
for path in sys.argv[1:]:
    for case in tree.parse(path).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}: f += 1
        elif "skipped" in kinds: s += 1
        else: p += 1
print(p, f, s)
PY
  ) || counts="0 1 0"
  [ "$counts" = "0 0 0" ] && counts="0 1 0"
  # shellcheck disable=SC2086
  report "$name" $counts "$log"
}

missing() {
  for tool in "$@"; do
    command -v "$tool" >/dev/null || { echo "$tool"; return 0; }
  done
  return 1
}

setup_failed() { report "$1" 0 1 0 "$2"; }

run_python() {
  local env=$WORK/python log=$WORK/python.log
  if ! cmp -s "$here/python/requirements.txt" "$env/installed.txt"; then
    { python3 -m venv --clear "$env" && "$env/bin/pip" install -q -r "$here/python/requirements.txt" &&
      cp "$here/python/requirements.txt" "$env/installed.txt"; } >"$log" 2>&1 || { setup_failed python "$log"; return; }
  fi
  rm -f "$WORK/python.xml"
  local folders
  folders=$(mktemp -d)
  # shellcheck disable=SC2086
  (cd "$here/python" && PYTHONDONTWRITEBYTECODE=1 timeout 600 "$env/bin/python" -m pytest -q -n "${JOBS:-3}" --basetemp="$folders" -o tmp_path_retention_policy=none --junitxml="$WORK/python.xml" ${PYTEST_ARGS:-}) >"$log" 2>&1
  rm -rf "$folders"
  junit python "$log" "$WORK/python.xml"
}

run_node() {
  local env=$WORK/node log=$WORK/node.log
  mkdir -p "$env"
  cp -r "$here/node/package.json" "$here/node/package-lock.json" "$here/node/expected_failures.txt" "$here/node/test" "$env/"
  if ! cmp -s "$env/package-lock.json" "$env/node_modules/installed.json"; then
    { (cd "$env" && npm ci --no-audit --no-fund) && cp "$env/package-lock.json" "$env/node_modules/installed.json"; } >"$log" 2>&1 || { setup_failed node "$log"; return; }
  fi
  (cd "$env" && timeout 300 node --test --test-reporter=tap) >"$log" 2>&1
  count() { sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$log" | tail -1; }
  local p f c s
  p=$(count pass) f=$(count fail) c=$(count cancelled) s=$(count skipped)
  [ -n "$p" ] && [ "$p" != 0 ] || { setup_failed node "$log"; return; }
  grep -B1 -A12 -E '^ *not ok' "$log" >"$log.failed"
  report node "$p" $((f + c)) "$s" "$log.failed"
}

run_java() {
  local log=$WORK/java.log offline=
  [ -f "$WORK/java/complete" ] && cmp -s "$here/java/pom.xml" "$WORK/java/complete" && offline=-o
  rm -rf "$WORK/java/surefire-reports"
  mkdir -p "$WORK/java"
  (cd "$here/java" && timeout 500 mvn -q -B $offline -Dtests.build="$WORK/java" test) >"$log" 2>&1
  ls "$WORK"/java/surefire-reports/*.xml >/dev/null 2>&1 || { setup_failed java "$log"; return; }
  cp "$here/java/pom.xml" "$WORK/java/complete"
  junit java "$log" "$WORK"/java/surefire-reports/*.xml
}

run_go() {
  local log=$WORK/go.log
  (cd "$here/go" && timeout 400 go test -count=1 -timeout 200s -v ./...) >"$log" 2>&1
  count() { grep -cE "^ *--- $1: " "$log"; }
  local p f s
  p=$(count PASS) f=$(count FAIL) s=$(count SKIP)
  [ "$((p + f))" != 0 ] || { setup_failed go "$log"; return; }
  ! grep -qE '^panic:' "$log" || f=$((f + 1))
  grep -vE '^(=== |--- PASS)' "$log" >"$log.failed"
  report go "$p" "$f" "$s" "$log.failed"
}

# run_suites "ALL OF THEM" [LANGUAGE ...]: runs those named, or all, one after another; the last line counts what they said.
run_suites() {
  local all=$1 language tools tool
  shift
  # shellcheck disable=SC2086
  [ $# -gt 0 ] || set -- $all
  for language in "$@"; do
    [[ " $all " = *" $language "* ]] || { echo "no suite $language" >&2; exit 2; }
    case $language in
      node) tools="node npm" ;;
      java) tools="java mvn" ;;
      tools) tools="java mvn python3" ;;
      cli) tools="go" ;;
      rust) tools=cargo ;;
      python) tools=python3 ;;
      *) tools=$language ;;
    esac
    # shellcheck disable=SC2086
    if tool=$(missing $tools); then
      echo "$language: skipped, no $tool"
      skipped=$((skipped + 1))
    else
      "run_$language"
    fi
  done
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
}
