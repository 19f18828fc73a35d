#!/bin/bash
# lapin's integration tests, from crates.io: lapin.sh HOST PORT
. "$(dirname "$0")/../../fetch.sh"
version=4.12.3 source=$WORK/lapin-4.12.3 log=$WORK/lapin.log
if [ ! -d "$source" ]; then
  # Our own lapin suite locks the same version: cargo fetches and unpacks it.
  (cd "$conformance/../rust" && cargo fetch --locked) >"$log" 2>&1 || give_up "cannot get lapin $version: $(tail -3 "$log")"
  unpacked=$(ls -d "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"lapin-$version" 2>/dev/null | head -1)
  [ -d "$unpacked" ] || give_up "no lapin $version in cargo's registry"
  cp -r "$unpacked" "$source.new" && rm -f "$source.new"/rust-toolchain* && printf '\n[workspace]\n' >>"$source.new/Cargo.toml" && mv "$source.new" "$source"
fi
skips=()
while read -r test; do skips+=(--skip "$test"); done < <(listed "$conformance/lapin.deselect")
cd "$source" || exit 2
AMQP_ADDR=amqp://$HOST:$PORT/%2f CARGO_TARGET_DIR=$repo/target/clients CARGO_PROFILE_DEV_DEBUG=0 timeout 1500 \
  cargo test --no-default-features --features default-runtime,tokio,smol --test '*' --no-fail-fast -- "${skips[@]+"${skips[@]}"}" >"$log" 2>&1
sed -n 's/^test \(.*\) \.\.\. FAILED$/FAILED \1/p' "$log"
awk '/^test result:/ { sub(/^test result: [a-zA-Z]+\. /, ""); p += $1; f += $3; s += $5 + $9 }
  END { if (!(p + f)) f = 1; printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }' "$log"
