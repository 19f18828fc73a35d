# Sourced by the suites here: a folder to work in, and packages by their registries' own clients.
set -u
conformance=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$conformance/../../../.." && pwd)
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
