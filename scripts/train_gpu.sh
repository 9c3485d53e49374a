#!/usr/bin/env bash
# Train on GPUs (PyTorch), one process a card; without a GPU the processes run on the CPU.
#
#   bash scripts/train_gpu.sh ddm/gta5_to_cityscapes_100             # all cards of this machine
#   NPROC=2 bash scripts/train_gpu.sh ddm/toy --resume               # two processes; options as of scripts/train.py
#
# train.batch_size counts for each process: N cards with batch b see in a step what one card sees with N x b.
# Several machines: run the same command on each with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set, on a
# file system that all of them share (only the first process writes).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ $# -eq 0 || $1 == -h || $1 == --help ]]; then
    sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
fi
python=${TWINDA_VENV:-$root/.venv}/bin/python
cards=$(nvidia-smi --list-gpus 2>/dev/null | wc -l || true)
nproc=${NPROC:-$((cards > 0 ? cards : 1))}
if [[ $nproc -eq 1 && ${NNODES:-1} -eq 1 ]]; then
    exec "$python" "$root/scripts/train.py" "$@" --backend torch
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(($(nproc) / nproc > 0 ? $(nproc) / nproc : 1))}
meet=(--standalone)
if [[ ${NNODES:-1} -gt 1 ]]; then
    meet=(--nnodes "$NNODES" --node_rank "${NODE_RANK:?}" --master_addr "${MASTER_ADDR:?}" --master_port "${MASTER_PORT:-29500}")
fi
exec "$python" -m torch.distributed.run "${meet[@]}" --nproc_per_node "$nproc" "$root/scripts/train.py" "$@" --backend torch
