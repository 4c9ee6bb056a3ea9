#!/usr/bin/env bash
# Runs all tests, in an environment that it makes itself:   bash tools/test.sh [pytest arguments]
#
# On Python 3.12-3.13 only the tests marked "core" run. Tests on real photographs need
# TF_LANDMARKS_DATA, the folder of data sets that WORKSPACE.md describes, and skip without it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$venv/bin/lint-imports" --no-logo
# One process a core, with one thread each for arithmetic: several threads gain nothing on small networks.
export TF_NUM_INTRAOP_THREADS="${TF_NUM_INTRAOP_THREADS:-1}"
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}" # whose threads would wait for each other for minutes
exec "$PYTHON" -m pytest -n auto --dist worksteal --durations=40 --durations-min=5 "$@"
