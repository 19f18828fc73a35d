#!/bin/bash
# librdkafka's regression tests, from Debian's source package: librdkafka.sh HOST PORT [TEST ...]. It builds them, which wants
# a C and a C++ compiler, make and the headers of zlib and OpenSSL. Those of its tests that speak to a broker are run one by one.
. "$(dirname "$0")/../../fetch.sh"
shift 2
for tool in apt-get gcc g++ make; do
  command -v $tool >/dev/null || { echo "librdkafka: no $tool"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
done
version=2.0.2 source=$WORK/librdkafka-2.0.2 log=$WORK/librdkafka.log

# Lists of sources in a folder of its own: those of the system stay as they are.
fetch() {
  local apt=$WORK/apt
  mkdir -p "$apt/lists/partial"
  echo 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main' >"$apt/sources.list"
  local own=(-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$apt/lists" -o APT::Sandbox::User=)
  apt-get "${own[@]}" update && (cd "$WORK" && apt-get "${own[@]}" source --download-only librdkafka)
}

if [ ! -x "$source/tests/test-runner" ]; then
  { { [ -f "$WORK/librdkafka_$version.orig.tar.gz" ] || fetch; } && rm -rf "$source" && mkdir "$source" &&
    tar xzf "$WORK/librdkafka_$version.orig.tar.gz" -C "$source" --strip-components 1 && cd "$source" &&
    ./configure --disable-gssapi --disable-curl --disable-zstd --disable-lz4-ext && make -j2 libs && make -C tests -j2 build; } >"$log" 2>&1 ||
    give_up "cannot build librdkafka $version: $(tail -3 "$log")"
fi
cd "$source/tests" || exit 2
# Some of its deadlines are short for a machine that does something else, too.
printf 'metadata.broker.list=%s:%s\ntest.topic.prefix=rdkafka%s\ntest.timeout.multiplier=3\n' "$HOST" "$PORT" $$ >test.conf
[ $# -gt 0 ] || mapfile -t all < <(listed "$conformance/librdkafka.tests")
passed=0 failed=0 skipped=0
for test in "${@:-${all[@]}}"; do
  if listed "$conformance/librdkafka.deselect" | grep -qx "$test"; then
    skipped=$((skipped + 1))
    continue
  fi
  log=$WORK/librdkafka-$test.log
  LD_LIBRARY_PATH=../src:../src-cpp TEST_KAFKA_VERSION=3.6.0 TESTS=$test timeout 180 ./test-runner -L -p1 -Q >"$log" 2>&1
  code=$?
  if [ $code = 0 ] && grep -qaE "$test[^|]*\| +PASSED" "$log"; then
    passed=$((passed + 1))
  elif [ $code = 0 ] && grep -qa SKIPP "$log"; then
    skipped=$((skipped + 1))
  else
    failed=$((failed + 1))
    echo "FAILED $test: exit $code"
  fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
