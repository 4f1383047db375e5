#!/usr/bin/env bash
# Writes the supplement's videos of EM in the plane to results/em/. --help lists all options.
# The first run installs all dependencies into .venv (see environment.sh).
set -euo pipefail

CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")"
source ./environment.sh
exec python -m finetune visualize em "$@"
