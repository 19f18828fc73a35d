#!/bin/bash
# Faults against the real binary: run.sh [pytest options]. The soak: soak.py. See README.md.
set -u
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
WORK=${WORK:-$repo/target/clients-env}
requirements=$repo/tests/clients/amqp091/python/requirements.txt
env=$WORK/python log=$WORK/faults.log
mkdir -p "$WORK"
: "${POLYBUS_BIN:=$repo/target/debug/polybus}"
POLYBUS_BIN=$(realpath -m "$POLYBUS_BIN")
export POLYBUS_BIN PYTHONDONTWRITEBYTECODE=1
[ -x "$POLYBUS_BIN" ] || { echo "no broker at $POLYBUS_BIN: set POLYBUS_BIN" >&2; exit 2; }
# The Python clients' environment has what is needed here.
if ! cmp -s "$requirements" "$env/installed.txt"; then
  { python3 -m venv --clear "$env" && "$env/bin/pip" install -q -r "$requirements" && cp "$requirements" "$env/installed.txt"; } >"$log" 2>&1 ||
    { cat "$log" >&2; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
fi
# A short path, since it holds Unix sockets. It stays where something failed.
folders=$(mktemp -d /tmp/faults.XXXX)
cd "$here" && "$env/bin/python" -m pytest -q -rs -p no:cacheprovider --basetemp="$folders" -o tmp_path_retention_policy=failed -n "${JOBS:-3}" "$@" 2>&1 | tee "$log"
count() { sed -n "s/.*[^0-9]\([0-9]*\) $1.*/\1/p" <<<" $(tail -1 "$log")"; }
passed=$(count passed) failed=$(count failed) errors=$(count error) skipped=$(count skipped)
failed=$((${failed:-0} + ${errors:-0}))
[ "${passed:-0}${failed}" != 00 ] || failed=1
echo "${passed:-0} passed, $failed failed, ${skipped:-0} skipped"
[ "$failed" = 0 ] || { echo "what failed is kept in $folders" >&2; exit 1; }
rm -rf "$folders"
