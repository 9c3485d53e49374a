#!/usr/bin/env bash
# Sets everything up and runs the tests: bash scripts/test.sh [pytest arguments]
# Under twenty minutes on two slow cores; `bash scripts/test.sh -m "not slow"` takes four. Left to
# `bash scripts/test.sh -m exhaustive` and scripts/check_vectors.py: whole trainings that differ from a tested one in an option.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
bash scripts/setup.sh
python=${TWINDA_VENV:-$root/.venv}/bin/python
"$python" -m ruff check .
exec "$python" -m pytest -q -n 2 --dist loadfile "$@"
