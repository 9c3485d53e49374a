#!/usr/bin/env bash
# Train on Ascend cards (MindSpore), one process a card; without one the processes run on the CPU.
#
#   bash scripts/train_ascend.sh ddm/gta5_to_cityscapes_100          # all cards of this machine
#   NPROC=2 bash scripts/train_ascend.sh ddm/toy --resume            # two processes; options as of scripts/train.py
#   DEVICE_ID=3 NPROC=1 bash scripts/train_ascend.sh ddm/toy         # one card of several
#
# train.batch_size counts for each process: N cards with batch b see in a step what one card sees with N x b.
# Several machines: run the same command on each with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set, on a
# file system that all of them share (only the first process writes). Logs of the processes: LOG_DIR (runs/msrun).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ $# -eq 0 || $1 == -h || $1 == --help ]]; then
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
fi
bin=${TWINDA_VENV:-$root/.venv}/bin
cards=$(find /dev -maxdepth 1 -name 'davinci[0-9]*' 2>/dev/null | wc -l)
nproc=${NPROC:-$((cards > 0 ? cards : 1))}
if [[ $nproc -eq 1 && ${NNODES:-1} -eq 1 ]]; then
    exec "$bin/python" "$root/scripts/train.py" "$@" --backend mindspore
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) / nproc > 0 ? $(nproc) / nproc : 1))}
# seconds that ranks wait while the first one labels a whole dataset; HCCL's own 30 minutes are too few
export HCCL_EXEC_TIMEOUT=${HCCL_EXEC_TIMEOUT:-14400}
PATH=$bin:$PATH     # msrun starts "python"
meet=(--worker_num "$nproc")
if [[ ${NNODES:-1} -gt 1 ]]; then
    meet=(--worker_num $((nproc * NNODES)) --node_rank "${NODE_RANK:?}" --master_addr "${MASTER_ADDR:?}")
fi
exec "$bin/msrun" "${meet[@]}" --local_worker_num "$nproc" --master_port "${MASTER_PORT:-8118}" --join True \
    --log_dir "${LOG_DIR:-runs/msrun}" "$root/scripts/train.py" "$@" --backend mindspore
