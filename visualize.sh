#!/usr/bin/env bash
# The supplement's videos of EM in the plane: ./visualize.sh, ./visualize.sh --help
# The first run installs all dependencies into .venv (see environment.sh).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
source ./environment.sh
exec python -m finetune visualize em "$@"
