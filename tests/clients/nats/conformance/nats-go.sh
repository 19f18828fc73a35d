#!/bin/bash
# nats.go's own tests of JetStream: nats-go.sh HOST PORT. They start a server each, by nats-server's test package: nats_server_go stands in for
# it, and starts $NATS_SERVER. 1.45.0 is the last release that goes by that package. RUN=REGEX chooses tests.
. "$(dirname "$0")/../../fetch.sh"
version=1.45.0 source=$WORK/nats.go-1.45.0 log=$WORK/nats-go.log
command -v go >/dev/null || { echo "go is not installed" >&2; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
if [ ! -d "$source/.complete" ]; then
  { mkdir -p "$WORK/nats-go" && cd "$WORK/nats-go" && { [ -f go.mod ] || go mod init get; } && go mod download "github.com/nats-io/nats.go@v$version" &&
    rm -rf "$source" && cp -r "$(go env GOMODCACHE)/github.com/nats-io/nats.go@v$version" "$source" && chmod -R u+w "$source" &&
    mkdir "$source/.complete"; } >"$log" 2>&1 || give_up "cannot get nats.go $version: $(tail -3 "$log")"
fi
cd "$source" || exit 2
cat >suite.mod <<MOD
module github.com/nats-io/nats.go

go 1.23.0

require (
	github.com/klauspost/compress v1.18.0
	github.com/nats-io/nats-server/v2 v2.11.2
	github.com/nats-io/nkeys v0.4.11
	github.com/nats-io/nuid v1.0.1
	golang.org/x/crypto v0.37.0 // indirect
	golang.org/x/sys v0.32.0 // indirect
)

replace github.com/nats-io/nats-server/v2 => $conformance/nats_server_go
MOD
cp go_test.sum suite.sum
GOFLAGS=-mod=mod go test -modfile=suite.mod -tags=internal_testing -c -o "$WORK/nats-go.test" ./jetstream/test >"$log" 2>&1 ||
  give_up "nats.go's tests do not build: $(tail -3 "$log")"
lists=("$conformance/nats-go.skip")
case $NATS_SERVER in "$(dirname "$conformance")"/*) lists+=("$conformance/nats-go.polybus.skip") ;; esac
# Each with its parts: ^TEST$/^PART$.
skip=$(cat "${lists[@]}" | listed /dev/stdin | sed "s,/,$/^,g; s,.*,^&$,")
cd jetstream/test || exit 2
folders=$(mktemp -d)
TMPDIR=$folders timeout 900 "$WORK/nats-go.test" -test.v -test.run "${RUN:-.}" -test.skip "$(paste -sd"|" <<<"$skip")" -test.timeout 880s >"$log" 2>&1
rm -rf "$folders"
grep -E '^ *--- FAIL' "$log" | sed 's/^ *--- FAIL: /FAILED /'
count() { grep -c "^--- $1" "$log"; }
failed=$(count FAIL)
# A test that ends the program has no line of its own.
grep -qE '^(PASS|FAIL)$' "$log" || failed=$((failed + 1))
echo "$(count PASS) passed, $failed failed, $(($(count SKIP) + $(wc -l <<<"$skip"))) skipped"
[ "$failed" = 0 ]
