"""GPU memory of IAST's self-training at the authors' batch sizes, counted without a GPU, against what theirs took.

The step runs on tensors without content (PyTorch's fake tensors) at the full size; what autograd keeps for the backward
pass is added up, and weights, gradients and Adam's moments to it. Workspaces of kernels are not counted.
"""

import json
from typing import Any

from common.backends import open_backend
from common.config import load_config

SIZE = (512, 1024)  # height, width
MARKS = {8: 18.5, 2: 6.3}  # batch size -> GB of the official README (V100, T4), with half precision by Apex
FORMS = {"bf16": (), "bf16, recomputed": ("train.recompute=true",)}
COPIES = 4  # of every weight in float32: itself, its gradient, two moments


def rows() -> list[dict[str, str]]:
    """Return a row for every batch size and form; a form must stay below the authors' figure."""
    found = []
    for form, options in FORMS.items():
        objective = _objective(options)
        weights = COPIES * sum(4 * one.numel() for one in objective.network.parameters())
        found += [_row(form, batch, (kept(objective, batch) + weights) / 1e9) for batch in MARKS]
    return found


def _row(form: str, batch: int, ours: float) -> dict[str, str]:
    mark = MARKS[batch]
    return {
        "what": f"memory of IAST's self-training, PyTorch twin, batch {batch}, {form}",
        "ours": f"{ours:.1f} GB, counted",
        "theirs": f"official README: {mark} GB, measured",
        "wanted": f"at most {mark} GB",
        "verdict": "ok" if ours <= mark else "MISSED",
    }


def _objective(options: tuple[str, ...]) -> Any:
    drawn = ["network.weights=null", "network.may_miss=[]", "network.may_exceed=[]"]
    held = ["network.freeze_bn_affine=true", "train.precision=bf16"]
    config = load_config("iast/gta5_to_cityscapes_v100", [*drawn, *held, *options])
    return open_backend("torch", device="cpu", compile=False).build(config, "iast_self_training")


def kept(objective: Any, batch: int, size: tuple[int, int] = SIZE) -> int:
    """Return the bytes that autograd keeps between the passes of a self-training step, weights left out.

    Args:
        objective: Of the stage, on the PyTorch twin.
        batch: Images.
        size: (H, W) of an image.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    storages: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage._cdata] = storage.nbytes(), tensor  # held, so that no address is given twice
        return tensor

    with FakeTensorMode(allow_non_fake_inputs=True), torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        image = torch.zeros(batch, 3, *size, dtype=torch.uint8)
        objective.forward(image, torch.zeros(batch, *size, dtype=torch.int32))
    own = {one.untyped_storage()._cdata for one in objective.network.parameters()}
    return sum(nbytes for place, (nbytes, _) in storages.items() if place not in own)


if __name__ == "__main__":
    print(json.dumps(rows(), indent=1))
