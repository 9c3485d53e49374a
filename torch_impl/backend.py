"""Device, processes and native files of the PyTorch twin."""

import gc
import os
import platform
import resource
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from common.errors import UserError
from common.memory import give_back

PATIENCE = timedelta(hours=4)  # ranks wait while the first one labels a whole dataset; NCCL's 10 minutes are too few


class Backend:
    """Where the PyTorch twin computes: one process, or one of several that ``torchrun`` started.

    float32 means float32: TF32 is off, so that CPU, GPU and the other twin agree; ``train.precision: bf16`` is the way
    to speed on a GPU. On CUDA deterministic kernels are chosen wherever there is one.
    """

    name, suffix = "torch", ".pth"

    def __init__(self, device: str = "auto", compile: bool | None = None, threads: int | None = None) -> None:
        """Choose the device and join the other processes.

        Args:
            device: ``"auto"`` (CUDA if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
            compile: Whether networks are compiled (``torch.compile``); None leaves it to the framework's profit: no.
            threads: Threads of one operation on the CPU; None keeps PyTorch's own choice.
        Raises:
            UserError: If the device is not there.
        """
        if threads:
            torch.set_num_threads(threads)
        self.compile = bool(compile)
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        self.device = _device(device)
        if self.device.startswith("cuda"):
            _prepare_cuda(self.device)
        _settle_convolutions()
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if self.device.startswith("cuda") else "gloo", timeout=PATIENCE)

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return a copy of an array on the device, of the same type."""
        copy = torch.tensor(np.ascontiguousarray(array))
        if self.device == "cpu":
            return copy
        return copy.pin_memory().to(self.device, non_blocking=True)  # from pageable memory the copy waits for the GPU

    def numpy(self, tensor: Tensor) -> np.ndarray:
        """Return a copy of a tensor; waits for the device. bfloat16, which NumPy lacks, becomes float32."""
        tensor = tensor.detach()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy().copy()

    def build(self, config: Any, objective: str, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> Any:
        """Return an objective by its name in ``torch_impl.methods.OBJECTIVES``.

        Args:
            config: The configuration.
            objective: The stage's objective, for example ``"ddm_student"``.
            frozen: Role -> weights of the networks that are held fixed, under PyTorch's names.
        """
        from torch_impl.methods import OBJECTIVES  # the objectives import nothing from here, but type names

        return OBJECTIVES[objective](config, self, frozen)

    def predictor(self, objective: Any, evaluate: Any) -> Any:
        """Return the predictor of an objective's evaluated network; ``evaluate`` is that section of a configuration."""
        from torch_impl.predictor import PREDICTORS

        return PREDICTORS[objective.config.task](objective, evaluate)

    def ensemble(self, objectives: Sequence[Any]) -> Any:
        """Return objectives of one configuration joined to one for a predictor: the mean of their logits."""
        from torch_impl.predictor import Ensemble

        return Ensemble(objectives)

    def save(self, part: Mapping[str, np.ndarray], path: Path) -> None:
        """Write arrays as a ``.pth`` file that ``torch.load(weights_only=True)`` reads."""
        torch.save({name: torch.from_numpy(np.array(array)) for name, array in part.items()}, path)

    def load(self, path: Path) -> dict[str, np.ndarray]:
        """Read a ``.pth`` file of named tensors; nothing in it is executed.

        Raises:
            UserError: If the file is missing, damaged, or holds anything but named tensors.
        """
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file")
        try:
            part = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # the reader raises half a dozen types, and its text is about itself
            hint = "what is in it: python -m convert inspect FILE"
            raise UserError(f"{path}: not a readable .pth file of tensors; {hint}") from error
        if not isinstance(part, dict) or not all(isinstance(value, Tensor) for value in part.values()):
            hint = "bring it into that form first: python -m convert import LAYOUT SRC DST"
            raise UserError(f"{path}: want a flat dictionary of named tensors; {hint}")
        return {name: self.numpy(value) for name, value in part.items()}

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each number over all ranks; every rank gives the same names."""
        if self.world == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(values, (total / self.world).tolist()))

    def average_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of each floating tensor over all ranks, through one exchange."""
        if self.world == 1:
            return list(tensors)
        flat = torch.cat([one.reshape(-1) for one in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.world).split([one.numel() for one in tensors])
        return [part.view_as(one) for part, one in zip(parts, tensors)]

    def total(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an integer array over all ranks, exactly, for example of confusion matrices."""
        if self.world == 1:
            return array.copy()
        total = self.tensor(array.astype(np.int64))
        dist.all_reduce(total)
        return self.numpy(total).astype(array.dtype)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every tensor with that of rank 0."""
        if self.world > 1:
            for one in tensors:
                dist.broadcast(one.detach(), 0)

    def barrier(self) -> None:
        """Return when every rank has called it."""
        if self.world > 1:
            dist.barrier()

    def release(self) -> None:
        """Give back what finished objectives held; they hang in reference cycles."""
        gc.collect()
        give_back()
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def memory_gib(self) -> float:
        """Return the peak memory so far in GiB: of the GPU's tensors, or of this process on a CPU."""
        if self.device.startswith("cuda"):
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def describe(self) -> dict[str, str]:
        """Return versions and device for the log and the checkpoint."""
        cuda = self.device.startswith("cuda")
        device = torch.cuda.get_device_name(self.device) if cuda else platform.machine()
        return {"torch": torch.__version__, "device": f"{self.device} ({device})"}

    def close(self) -> None:
        """Leave the other processes."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


def _settle_convolutions() -> None:
    """Let oneDNN choose its instruction set, which it does at the first convolution of a process.

    Later the MindSpore twin, in the same process, would narrow it (see ``ms_impl``), and results would depend on order.
    """
    torch.nn.functional.conv2d(torch.zeros(1, 8, 8, 8), torch.zeros(8, 8, 3, 3))


def _device(wanted: str) -> str:
    """Return the device of this process; the local rank chooses among several GPUs."""
    if wanted not in ("auto", "cpu", "cuda") and not wanted.startswith("cuda:"):
        raise UserError(f"device {wanted!r}: the torch backend knows auto, cpu, cuda and cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cpu" or (wanted == "auto" and not count):
        return "cpu"
    index = wanted.partition(":")[2] or os.environ.get("LOCAL_RANK", "0")
    if not index.isdigit() or int(index) >= count:
        raise UserError(f"device {wanted!r}: not there, PyTorch sees {count} CUDA devices. Use --device cpu")
    return f"cuda:{index}"


def _prepare_cuda(device: str) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products ask for
    torch.cuda.set_device(device)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)  # some losses have no such kernel
    torch.utils.deterministic.fill_uninitialized_memory = False  # it only slows what overwrites its memory anyway
