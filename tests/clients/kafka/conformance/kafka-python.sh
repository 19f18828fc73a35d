#!/bin/bash
# kafka-python's integration tests, from the sdist of PyPI: kafka-python.sh HOST PORT
. "$(dirname "$0")/../../fetch.sh"
deselect=()
version=2.2.15 source=$WORK/kafka_python-2.2.15 log=$WORK/kafka-python.log
if [ ! -d "$source/.complete" ]; then
  { python3 -m venv --clear "$WORK/kafka-python" &&
    "$WORK/kafka-python/bin/pip" install -q 'pytest==8.4.2' 'pytest-timeout==2.4.0' 'pytest-mock==3.15.1' 'mock==5.2.0' 'crc32c==2.8' 'lz4==4.4.5' 'zstandard==0.25.0' 'python-snappy==0.7.3' &&
    (cd "$WORK" && "$WORK/kafka-python/bin/pip" download -q --no-deps --no-binary kafka-python "kafka-python==$version" && rm -rf "$source" && tar xzf "kafka_python-$version.tar.gz") &&
    mkdir "$source/.complete"; } >"$log" 2>&1 || give_up "cannot get kafka-python $version: $(tail -3 "$log")"
  # The sdist leaves this module out. It starts brokers; ours runs already.
  cat >"$source/test/service.py" <<'PY'
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    def __init__(self, *args, **kwargs):
        raise RuntimeError("KAFKA_URI says where the broker is")
PY
  touch "$source/test/__init__.py"
fi
while read -r test; do deselect+=(--deselect "$test"); done < <(listed "$conformance/kafka-python.deselect")
cd "$source" || exit 2
KAFKA_ROOT=$source KAFKA_URI=kafka://$HOST:$PORT KAFKA_VERSION=2.6.0 PYTHONPATH=$source timeout 600 "$WORK/kafka-python/bin/python" -m pytest -q \
  -p no:cacheprovider --timeout 60 --timeout-method signal --log-level=CRITICAL -rfE test/integration "${deselect[@]+"${deselect[@]}"}" >"$log" 2>&1
grep -E '^(FAILED|ERROR) ' "$log"
pytest_counts "$log"
