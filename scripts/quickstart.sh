#!/usr/bin/env bash
# From nothing to a result: environment, embedded data, a whole adaptation on both frameworks, a report to look at.
#
#   bash scripts/quickstart.sh                       # DDM on "toy streets", both frameworks, about 8 minutes on two cores
#   TWINDA_FRAMEWORKS=torch bash scripts/quickstart.sh    # with one framework only
#
# Writes runs/quickstart/: the two runs with their checkpoints, and report/index.html.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
bash scripts/setup.sh
python=${TWINDA_VENV:-$root/.venv}/bin/python
started=$SECONDS

"$python" scripts/prepare_data.py toy data/toy
runs=()
for backend in ${TWINDA_FRAMEWORKS:-mindspore torch}; do
    echo
    echo "== ddm/toy on $backend"
    "$python" scripts/train.py ddm/toy --backend "$backend" --set out=runs/quickstart --overwrite
    runs+=("runs/quickstart/ddm/toy/$backend")
done
echo
"$python" scripts/report.py "${runs[@]}" --out runs/quickstart/report
echo "quickstart: $((SECONDS - started)) s after set-up; pictures and tables: runs/quickstart/report/index.html"
