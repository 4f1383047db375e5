#!/usr/bin/env bash
# One experiment: trains, evaluates and writes results/<config>/seed<k>/. The same command again
# resumes an interrupted run.
#
#   ./train.sh                                      the main job, on drawn birds
#   ./train.sh configs/digits/gt_fve.yml --seed 1   another experiment
#   ./train.sh --help                               all options
#
# The first run installs all dependencies into .venv (see environment.sh). Paths are relative to the
# project's folder. The exit code is the program's: 0, or 2 for an error to fix.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
source ./environment.sh
exec python -m finetune train "$@"
