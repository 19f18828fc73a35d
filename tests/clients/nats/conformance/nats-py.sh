#!/bin/bash
# nats-py's own tests, from the last sdist of PyPI that has them: nats-py.sh HOST PORT. They start $NATS_SERVER themselves, on the ports 4222 to 4225.
. "$(dirname "$0")/../../fetch.sh"
deselect=()
version=2.12.0 source=$WORK/nats-py-2.12.0 log=$WORK/nats-py.log
if [ ! -d "$source/.complete" ]; then
  { python3 -m venv --clear "$WORK/nats-py" && "$WORK/nats-py/bin/pip" install -q 'pytest==8.4.2' 'pytest-timeout==2.4.0' "nats-py[nkeys,aiohttp]==$version" &&
    (cd "$WORK" && "$WORK/nats-py/bin/pip" download -q --no-deps --no-binary nats-py "nats-py==$version" && rm -rf "$source" && mkdir "$source" && tar xzf nats_py-"$version".tar.gz -C "$source" --strip-components 1) &&
    mkdir "$source/.complete"; } >"$log" 2>&1 || give_up "cannot get nats-py $version: $(tail -3 "$log")"
fi
cp "$conformance/nats_py_utils.py" "$source/tests/utils.py"
touch "$source/tests/__init__.py"
lists=("$conformance/nats-py.deselect")
# What polybus does not have yet; nats-server has it.
case $NATS_SERVER in "$(dirname "$conformance")"/*) lists+=("$conformance/nats-py.polybus.deselect") ;; esac
for list in "${lists[@]}"; do
  while read -r test; do deselect+=(--deselect "$test"); done < <(listed "$list")
done
cd "$source" || exit 2
PYTHONDONTWRITEBYTECODE=1 timeout 900 "$WORK/nats-py/bin/python" -m pytest -q -p no:cacheprovider -p no:warnings --timeout 60 -rfE tests "${deselect[@]+"${deselect[@]}"}" >"$log" 2>&1
grep -E '^(FAILED|ERROR) ' "$log"
pytest_counts "$log"
