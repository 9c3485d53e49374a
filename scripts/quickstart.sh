#!/usr/bin/env bash
# From nothing to a result: environment, embedded data, a whole adaptation on both frameworks, a report to look at.
#
#   bash scripts/quickstart.sh                            # DDM on "toy streets", both frameworks side by side
#   bash scripts/quickstart.sh --task classification      # S3D on handwritten digits of two origins
#   TWINDA_FRAMEWORKS=torch bash scripts/quickstart.sh    # with one framework only
#
# Takes some minutes on two cores, without a GPU. Writes runs/quickstart/: the runs with their checkpoints and logs,
# and report/index.html (report-classification/index.html).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

task=segmentation
while [ $# -gt 0 ]; do
    case $1 in
        --task) task=${2:-}; shift ;;
        --task=*) task=${1#--task=} ;;
        -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$root/scripts/quickstart.sh"; exit 0 ;;
        *) echo "quickstart: unknown argument '$1'; usage: quickstart.sh [--task segmentation|classification]" >&2; exit 2 ;;
    esac
    shift || true
done
case $task in
    segmentation) config=ddm/toy data="toy data/toy" report=runs/quickstart/report ;;
    classification) config=s3d/digits data="digits data/digits" report=runs/quickstart/report-classification ;;
    *) echo "quickstart: --task '$task': there are segmentation and classification" >&2; exit 2 ;;
esac

bash scripts/setup.sh
python=${TWINDA_VENV:-$root/.venv}/bin/python
frameworks=${TWINDA_FRAMEWORKS:-mindspore torch}
started=$SECONDS

"$python" scripts/prepare_data.py $data

# The networks are thin: one thread each, and the frameworks side by side, is the fastest use of two cores. MindSpore
# takes three times as long and its threads give way to busy ones: PyTorch takes what MindSpore leaves.
runs=() jobs=()
for backend in $frameworks; do
    polite=0
    [ "$backend" != torch ] || polite=10
    nice -n $polite "$python" scripts/train.py "$config" --backend "$backend" --device cpu --threads 1 \
        --out runs/quickstart --overwrite 2>&1 | sed -u "s/^/$backend: /" &
    jobs+=($!)
    runs+=("runs/quickstart/$config/$backend")
done
trap 'kill "${jobs[@]}" 2>/dev/null || true' INT TERM
for job in "${jobs[@]}"; do
    wait "$job" || { echo "quickstart: a run failed; see the lines above" >&2; exit 1; }
done

echo
"$python" scripts/report.py "${runs[@]}" --out "$report"
echo "quickstart: $((SECONDS - started)) s after set-up; pictures and tables: $report/index.html"
