#!/usr/bin/env bash
# Runs the tests; arguments go on to pytest: tests/run.sh -k gmm
# Another Python: PYTHON=python3.9 tests/run.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source ./environment.sh
exec python -m pytest tests "$@"
