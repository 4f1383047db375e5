#!/usr/bin/env bash
# Trains a network.
#
#   ./train.sh                                 the default configuration
#   ./train.sh configs/digits/fve.yml          another one
#   ./train.sh configs/digits/fve.yml --help   every setting
#
# The first run installs what is needed into .venv (see environment.sh). Relative paths on the
# command line are relative to the project's folder. The exit status is the program's.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
source ./environment.sh
exec python -m finetune train "$@"
