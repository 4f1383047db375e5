#!/usr/bin/env bash
# Runs the tests, in up to four processes; arguments go on to pytest: tests/run.sh -k gmm -n 0
# Another Python and NumPy: PYTHON=python3.10 NUMPY=1.26 tests/run.sh
set -euo pipefail

CDPATH= cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./environment.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}    # more would wait for each other
exec python -m pytest -n auto --maxprocesses 4 "$@"
