# Sourced by each protocol's conformance.sh, which has started a broker: runs other projects' own tests and adds up their counts.

# run_others HOST PORT SUITE...: each is conformance/SUITE.sh HOST PORT, whose last line is its counts. Fails where a test did.
run_others() {
  local host=$1 port=$2 passed=0 failed=0 skipped=0 suite output p f s
  shift 2
  for suite in "$@"; do
    output=$("$here/conformance/$suite.sh" "$host" "$port")
    read -r p f s < <(tail -1 <<<"$output" | sed 's/[^0-9 ]//g')
    echo "$output" | sed '$d'
    echo "$suite: $(tail -1 <<<"$output")"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  done
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
}
