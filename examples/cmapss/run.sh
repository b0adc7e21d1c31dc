#!/bin/sh
# Splits, trains, replays and prints the figures. Usage: examples/cmapss/run.sh DATA [CONFIG] [STREAM...]
# DRIFTGATE names the program, WORK a folder to keep the files in.
set -eu
here=$(dirname "$0")
data=$1
config=${2:-$here/cmapss.toml}
shift $(($# < 2 ? $# : 2))
work=${WORK:-$(mktemp -d)}
driftgate=${DRIFTGATE:-$here/../../target/release/driftgate}
for stream in ${*:-natural campaign withheld spikes}; do
    dir=$work/$stream
    python3 "$here/split.py" --stream "$stream" "$data" "$dir" >/dev/null
    "$driftgate" train --config "$config" --input "$dir/fit.csv.gz" --calibrate "$dir/calib.csv.gz" --out "$dir/bundle" >"$dir/train.txt"
    "$driftgate" replay --config "$config" --bundle "$dir/bundle" --input "$dir/eval.csv.gz" --events "$dir/events.jsonl" >"$dir/replay.txt"
    echo "== $stream"
    grep -E "calibrated|drift" "$dir/train.txt" || true
    python3 "$here/figures.py" "$dir/eval.csv.gz" "$dir/events.jsonl"
done
