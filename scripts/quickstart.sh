#!/usr/bin/env bash
# From nothing to a result: environment, embedded data, a whole adaptation on both frameworks, a report to look at.
#
#   bash scripts/quickstart.sh                            # DDM on "toy streets", both frameworks side by side
#   TWINDA_FRAMEWORKS=torch bash scripts/quickstart.sh    # with one framework only
#
# Takes some minutes on two cores, without a GPU. Writes runs/quickstart/: the runs with their checkpoints and logs,
# and report/index.html.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
bash scripts/setup.sh
python=${TWINDA_VENV:-$root/.venv}/bin/python
frameworks=${TWINDA_FRAMEWORKS:-mindspore torch}
started=$SECONDS

"$python" scripts/prepare_data.py toy data/toy

# The networks are thin: one thread each, and the frameworks side by side, is the fastest use of two cores.
runs=() jobs=()
for backend in $frameworks; do
    "$python" scripts/train.py ddm/toy --backend "$backend" --device cpu --threads 1 --out runs/quickstart --overwrite \
        2>&1 | sed -u "s/^/$backend: /" &
    jobs+=($!)
    runs+=("runs/quickstart/ddm/toy/$backend")
done
trap 'kill "${jobs[@]}" 2>/dev/null || true' INT TERM
for job in "${jobs[@]}"; do
    wait "$job" || { echo "quickstart: a run failed; see the lines above" >&2; exit 1; }
done

echo
"$python" scripts/report.py "${runs[@]}" --out runs/quickstart/report
echo "quickstart: $((SECONDS - started)) s after set-up; pictures and tables: runs/quickstart/report/index.html"
