"""Converting a DeepLabV2-ResNet101 checkpoint, against ``torch.load`` and ``mindspore.save_checkpoint``."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from common.draws import generator
from convert.formats import save
from convert.layouts.residual import deeplab

ROOT = Path(__file__).parents[2]
# VmHWM, for getrusage's ru_maxrss begins with the peak of the process that started this one
_MEASURE = """
import json, sys, time
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
began = time.perf_counter()
{imports}
ready, base = time.perf_counter(), peak()
{work}
print(json.dumps(dict(
    imports=ready - began, work=time.perf_counter() - ready, memory=peak() - base,
    frameworks=sorted({{"torch", "mindspore"}} & set(sys.modules)),
)))
"""
_OURS = _MEASURE.format(
    imports="from convert.single import convert_file",
    work="convert_file(sys.argv[1], sys.argv[2])",
)
_FRAMEWORKS = _MEASURE.format(
    imports="import torch, mindspore",
    work="""
names = {"running_mean": "moving_mean", "running_var": "moving_variance"}
listed = []
weights = torch.load(sys.argv[1], weights_only=True)
for name, tensor in weights.items():
    path, _, leaf = name.rpartition(".")
    if leaf == "num_batches_tracked":
        continue
    if path + ".running_mean" in weights:
        leaf = {"weight": "gamma", "bias": "beta", **names}[leaf]
    listed.append({"name": path + "." + leaf, "data": mindspore.Tensor(tensor.numpy())})
mindspore.save_checkpoint(listed, sys.argv[2])
""",
)


def checkpoint(path: Path) -> int:
    """Write a whole DeepLabV2-ResNet101 with two classifiers of 19 classes; return the size in bytes."""
    rng = generator(0, "benchmark")
    weights = {
        name: np.array(0, np.int64) if name.endswith("tracked") else rng.standard_normal(shape, np.float32)
        for name, shape in deeplab({}, aux=True).items()
    }
    save(path, weights, {})
    return path.stat().st_size


def measure(repeats: int = 3) -> dict:
    """Convert the same .pth to .ckpt both ways, each in processes of its own, in turns.

    Returns:
        Sizes in bytes, and the best of ``repeats`` times in seconds without imports (``ours``, ``frameworks``), the
        time of the imports, the peak memory beyond what the imports took, and the frameworks that were imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "deeplab.pth"
        result: dict = {"size": checkpoint(source)}
        runs: dict[str, list[dict]] = {"ours": [], "frameworks": []}
        for turn in range(repeats):
            for name, code in (("ours", _OURS), ("frameworks", _FRAMEWORKS)):
                runs[name].append(_run(code, source, Path(folder) / f"{name}{turn}.ckpt"))
        for name, done in runs.items():
            result[name] = min(run["work"] for run in done)
            result[f"{name}_imports"] = min(run["imports"] for run in done)
            result[f"{name}_memory"] = max(run["memory"] for run in done)
            result[f"{name}_loads"] = done[0]["frameworks"]
    return result


def row() -> dict[str, str]:
    """Return one row of the benchmark's table: what, ours, theirs, verdict."""
    found = measure()
    share = found["ours_memory"] / found["size"]
    good = found["ours"] <= found["frameworks"] and share <= 1.3 and not found["ours_loads"]
    theirs = found["frameworks_memory"] / found["size"]
    return {
        "what": f"convert DeepLabV2-R101 .pth -> .ckpt ({found['size'] / 1e6:.0f} MB)",
        "ours": f"{found['ours']:.2f} s (+{found['ours_imports']:.1f} s imports), {share:.2f} x file in memory",
        "theirs": f"{found['frameworks']:.2f} s (+{found['frameworks_imports']:.1f} s imports), {theirs:.2f} x file",
        "wanted": "not slower, at most 1.3 x the file, no framework",
        "verdict": "ok" if good else "MISSED",
    }


def _run(code: str, source: Path, target: Path) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    target.unlink()
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(row(), indent=1))
