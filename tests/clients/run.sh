#!/bin/bash
# Runs the client suites of all protocols: run.sh [language ...]. A language that only some protocols have a suite for is run there.
set -u
here=$(cd "$(dirname "$0")" && pwd)
passed=0 failed=0 skipped=0
for protocol in "$here"/*/run.sh; do
  folder=$(dirname "$protocol")
  languages=()
  for language in "$@"; do
    [ -d "$folder/$language" ] && languages+=("$language")
  done
  [ $# != 0 ] && [ ${#languages[@]} = 0 ] && continue
  echo "== $(basename "$folder")"
  output=$("$protocol" "${languages[@]+"${languages[@]}"}" | tee >(cat >&2) | tail -1)
  if read -r p f s < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' <<<"$output"); then
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  else
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$((passed + skipped))" != 0 ]
