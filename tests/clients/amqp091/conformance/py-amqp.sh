#!/bin/bash
# py-amqp's integration tests, from the sdist of PyPI: py-amqp.sh HOST PORT
. "$(dirname "$0")/../../fetch.sh"
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
pytest_counts "$log"
