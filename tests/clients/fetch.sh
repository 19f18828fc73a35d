# Sourced by the suites that no one here wrote: a folder to work in, and packages by their registries' own clients.
set -u
conformance=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HOST=${1:?host} PORT=${2:?port}
WORK=${WORK:-$repo/target/clients-env}/conformance
mkdir -p "$WORK"

give_up() {
  echo "$*" >&2
  echo "0 passed, 1 failed, 0 skipped"
  exit 2
}

# The lines of a list, without comments.
listed() { sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$1"; }

# The counts of a pytest log: pytest_counts LOG
pytest_counts() {
  python3 - "$1" <<'PY'
import re, sys
last = [line for line in open(sys.argv[1]) if re.search(r"\d+ \w+.* in [\d.]+s", line)]
count = lambda kind: sum(int(n) for n in re.findall(rf"(\d+) {kind}", last[-1])) if last else 0
passed, failed = count("passed"), count("failed") + count("errors?")
if not passed + failed: failed = 1
print(f"{passed} passed, {failed} failed, {count('skipped') + count('deselected')} skipped")
sys.exit(failed > 0)
PY
}
