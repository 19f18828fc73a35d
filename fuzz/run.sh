#!/bin/bash
# Runs every fuzz target, a minute each: SECONDS_EACH=60 fuzz/run.sh [target ...]
# What is found stays in target/fuzz; KEEP=1 puts what widens the coverage into fuzz/corpus, which is committed and stays small.
set -u
cd "$(dirname "$0")"
NIGHTLY=${NIGHTLY:-nightly}
SECONDS_EACH=${SECONDS_EACH:-60}
KEEP=${KEEP:-}
# Inputs that are kept have at most so many bytes, so that the corpus stays small.
KEEP_BYTES_MAX=${KEEP_BYTES_MAX:-700}
found=$PWD/../target/fuzz

rustup toolchain list | grep -q "^$NIGHTLY" || rustup toolchain install --profile minimal "$NIGHTLY" || exit 1
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz || exit 1
targets=${*:-$(cargo "+$NIGHTLY" fuzz list)}
cargo "+$NIGHTLY" fuzz build || exit 1

passed=0
failed=
for target in $targets; do
    mkdir -p "$found/$target" "corpus/$target"
    log=$found/$target.log
    words=()
    [ ! -e "dictionaries/$target" ] || words=("-dict=dictionaries/$target")
    echo "$target: ${SECONDS_EACH} s"
    if cargo "+$NIGHTLY" fuzz run "$target" "$found/$target" "corpus/$target" -- -max_total_time="$SECONDS_EACH" \
        -len_control=10 -timeout=20 -rss_limit_mb=2048 "${words[@]}" >"$log" 2>&1; then
        grep -E 'DONE|^Done' "$log" | tail -2
        passed=$((passed + 1))
    else
        # The text of the panic, and where the input lies.
        grep -E 'panicked at|^SUMMARY|Test unit written|^Base64' -A 1 "$log" | grep -v '^--' | tail -12
        failed="$failed $target"
    fi
    if [ -n "$KEEP" ]; then
        small=$(mktemp -d)
        find "$found/$target" "corpus/$target" -type f -size -"$KEEP_BYTES_MAX"c -exec cp {} "$small" \;
        minimal=$(mktemp -d)
        cargo "+$NIGHTLY" fuzz run "$target" -- -set_cover_merge=1 -use_counters=0 "$minimal" "corpus/$target" "$small" >>"$log" 2>&1
        # Inputs with a name are someone's: they stay.
        find "corpus/$target" -type f -name '????????????????????????????????????????' -delete
        cp "$minimal"/* "corpus/$target"/
        rm -r "$small" "$minimal"
    fi
done
echo "$passed passed, $(echo "$failed" | wc -w | tr -d ' ') failed$failed"
[ -z "$failed" ]
