#!/usr/bin/env bash
# Runs fuzz targets one after the other, each for SECONDS_EACH (default 600), from the committed corpus on.
# What they find is in fuzz/artifacts, what they learn in fuzz/target/grown, their logs in fuzz/target/logs.
#   fuzz/run.sh            all targets
#   fuzz/run.sh http jwt   these
set -euo pipefail
cd "$(dirname "$0")"
# Of the wall clock: on a busy machine an input may wait for longer than it takes.
readonly TIMEOUT=${TIMEOUT:-5}
readonly EACH=${SECONDS_EACH:-600}
readonly PROGRAMS=${PROGRAMS:-target/x86_64-unknown-linux-gnu/release}
readonly LOGS=${LOGS:-target/logs}
# SQLite, which gcc compiles with its own AddressSanitizer, registers its globals twice.
export ASAN_OPTIONS=detect_odr_violation=0
# A backtrace takes long to write, on a busy machine longer than an input may take.
export RUST_BACKTRACE=0
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls corpus)
[ -n "${PROGRAMS_ARE_BUILT:-}" ] || cargo +nightly fuzz build
mkdir -p "$LOGS"
failed=0
for target in "${targets[@]}"; do
    mkdir -p "target/grown/$target" "artifacts/$target"
    dictionary=()
    [ ! -e "dictionaries/$target.dict" ] || dictionary=("-dict=dictionaries/$target.dict")
    # 5 s for one input, 2 GiB, 64 MiB at once: nothing that a client sends may cost more than what it is worth.
    nice -n 15 "$PROGRAMS/$target" "${dictionary[@]}" -max_total_time="$EACH" -timeout="$TIMEOUT" -rss_limit_mb=2048 -malloc_limit_mb=64 \
        -print_final_stats=1 -artifact_prefix="artifacts/$target/" "target/grown/$target" "corpus/$target" \
        >"$LOGS/$target.log" 2>&1 || failed=1
    printf '%-14s %s\n' "$target" "$(grep -E 'DONE|SUMMARY|ERROR' "$LOGS/$target.log" | tail -1)"
done
exit $failed
