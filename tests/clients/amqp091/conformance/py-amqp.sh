#!/bin/bash
# py-amqp's integration tests, from the sdist of PyPI: py-amqp.sh HOST PORT
. "$(dirname "$0")/fetch.sh"
deselect=()
version=5.4.2 source=$WORK/amqp-5.4.2 log=$WORK/py-amqp.log
if [ ! -d "$source/.complete" ]; then
  { python3 -m venv --clear "$WORK/py-amqp" && "$WORK/py-amqp/bin/pip" install -q 'pytest==8.4.2' 'pytest-timeout==2.4.0' 'pytest-rerunfailures==15.1' 'vine==5.1.0' &&
    (cd "$WORK" && "$WORK/py-amqp/bin/pip" download -q --no-deps --no-binary amqp "amqp==$version" && rm -rf "$source" && tar xzf "amqp-$version.tar.gz") &&
    mkdir "$source/.complete"; } >"$log" 2>&1 || give_up "cannot get py-amqp $version: $(tail -3 "$log")"
fi
while read -r test; do deselect+=(--deselect "$test"); done < <(listed "$conformance/py-amqp.deselect")
cd "$source" || exit 2
RERUN=1 RABBITMQ_HOST=$HOST RABBITMQ_5672_TCP=$PORT timeout 600 "$WORK/py-amqp/bin/python" -m pytest -p no:cacheprovider -p no:warnings --timeout 60 -rfE \
  t/integration/test_rmq.py "${deselect[@]+"${deselect[@]}"}" >"$log" 2>&1
grep -E '^(FAILED|ERROR) ' "$log"
python3 - "$log" "${#deselect[@]}" <<'PY'
import re, sys
last = [line for line in open(sys.argv[1]) if re.search(r"\d+ \w+.* in [\d.]+s", line)]
count = lambda kind: sum(int(n) for n in re.findall(rf"(\d+) {kind}", last[-1])) if last else 0
passed, failed = count("passed"), count("failed") + count("errors?")
if not passed + failed: failed = 1
print(f"{passed} passed, {failed} failed, {count('skipped') + count('deselected')} skipped")
sys.exit(failed > 0)
PY
