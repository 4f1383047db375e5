#!/usr/bin/env bash
# All experiments of docs/report/report.md and the report itself, which goes to results/report/. The
# same command again resumes interrupted runs and skips finished ones. Arguments are passed on to
# train.sh:
#
#   ./reproduce.sh --jobs 2
#
# The exit code is 0, 1 if a run failed, or 2 for an error to fix.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
minibirds=configs/minibirds
status=0

run() {
    "$@" || status=$?
    [ "$status" -ne 130 ] || exit 130       # interrupted
}

# Fig. 3 takes three times as long as the tables.
run ./train.sh "$minibirds" --seeds 3 "$@"
run ./train.sh "$minibirds"/{no_parts,gt_*,cs_parts_*,gt2_*_shuffled,grid_*,global_*}.yml \
    configs/digits --seeds 5 "$@"
source ./environment.sh || exit 2
run python -m finetune report
exit "$status"
