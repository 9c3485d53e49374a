"""Device, processes and native files of the MindSpore twin."""

import gc
import os
import platform
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, communication, ops

from common.errors import UserError
from common.memory import give_back

_DEVICES = {"cpu": "CPU", "ascend": "Ascend"}


class Backend:
    """Where the MindSpore twin computes: one process, or one of several that ``msrun`` started."""

    name, suffix = "mindspore", ".ckpt"

    def __init__(self, device: str = "auto", compile: bool | None = None, threads: int | None = None) -> None:
        """Choose the device and join the other processes.

        Args:
            device: ``"auto"`` (what this MindSpore was built for), ``"cpu"`` or ``"ascend"``.
            compile: Whether steps and networks are compiled to graphs (``mindspore.jit``); None leaves it to the
                framework's profit: yes. A compiled step takes half the time, compiling it a few seconds.
            threads: Threads of the runtime on the CPU; None takes ``OMP_NUM_THREADS``, as PyTorch does, and without
                it MindSpore's own choice.
        Raises:
            UserError: If the device is not there.
        """
        if threads := threads or _threads_of_environment():
            mindspore.set_context(runtime_num_threads=threads)
        self.compile = compile is not False
        self.rank, self.world = 0, int(os.environ.get("MS_WORKER_NUM", 1))
        self.device = _device(device)
        if self.world > 1:
            communication.init()
            self.rank = communication.get_rank()

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return a copy of an array on the device, of the same type."""
        return Tensor(np.ascontiguousarray(array))

    def numpy(self, tensor: Tensor) -> np.ndarray:
        """Return a copy of a tensor; waits for the device. bfloat16, which NumPy lacks, becomes float32."""
        return (tensor.float() if tensor.dtype == mindspore.bfloat16 else tensor).asnumpy().copy()

    def build(self, config: Any, objective: str, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> Any:
        """Return an objective by its name in ``ms_impl.methods.OBJECTIVES``.

        Args:
            config: The configuration.
            objective: The stage's objective, for example ``"ddm_student"``.
            frozen: Role -> weights of the networks that are held fixed, under MindSpore's names.
        """
        from ms_impl.methods import OBJECTIVES  # the objectives import nothing from here, but type names

        return OBJECTIVES[objective](config, self, frozen)

    def predictor(self, objective: Any, evaluate: Any) -> Any:
        """Return the predictor of an objective's evaluated network; ``evaluate`` is that section of a configuration."""
        from ms_impl.predictor import PREDICTORS

        return PREDICTORS[objective.config.task](objective, evaluate)

    def ensemble(self, objectives: Sequence[Any]) -> Any:
        """Return objectives of one configuration joined to one for a predictor: the mean of their logits."""
        from ms_impl.predictor import Ensemble

        return Ensemble(objectives)

    def save(self, part: Mapping[str, np.ndarray], path: Path) -> None:
        """Write arrays as a ``.ckpt`` file that ``mindspore.load_checkpoint`` reads.

        MindSpore deletes an existing file before it writes and leaves mode 0400; hence only new files, and a mode as
        the umask gives it.
        """
        if Path(path).exists():
            raise FileExistsError(f"{path} exists; MindSpore would delete it before writing")
        listed = [{"name": name, "data": Tensor(np.array(array))} for name, array in part.items()]
        mindspore.save_checkpoint(listed, str(path))
        mask = os.umask(0)
        os.umask(mask)
        Path(path).chmod(0o666 & ~mask)

    def load(self, path: Path) -> dict[str, np.ndarray]:
        """Read a ``.ckpt`` file; nothing in it is executed.

        Raises:
            UserError: If the file is missing or damaged.
        """
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file")
        try:
            part = mindspore.load_checkpoint(str(path))
        except Exception as error:  # the reader raises half a dozen types on damaged files
            reason = str(error).strip().splitlines()[0][:160]
            raise UserError(f"{path}: not a readable .ckpt file ({reason})") from error
        return {name: self.numpy(value) for name, value in part.items()}

    def average(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each number over all ranks; every rank gives the same names."""
        if self.world == 1:
            return dict(values)
        total = ops.AllReduce()(Tensor(list(values.values()), mindspore.float32))
        return dict(zip(values, (total.asnumpy().astype(np.float64) / self.world).tolist()))

    def average_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean of each floating tensor over all ranks, through one exchange."""
        if self.world == 1:
            return list(tensors)
        flat = ops.AllReduce()(ops.concat([one.reshape(-1) for one in tensors])) / self.world
        parts = ops.split(flat, [one.size for one in tensors])
        return [part.reshape(one.shape) for part, one in zip(parts, tensors)]

    def total(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an integer array over all ranks, exactly, for example of confusion matrices."""
        if self.world == 1:
            return array.copy()
        shifts, whole = (0, 16, 32), array.astype(np.int64)  # CPUs add floats alone: 16 bits of 256 ranks stay exact
        parts = [Tensor((whole >> shift & 0xFFFF).astype(np.float32)) for shift in shifts]
        sums = [ops.AllReduce()(part).asnumpy().astype(np.int64) for part in parts]
        return sum(part << shift for part, shift in zip(sums, shifts)).astype(array.dtype)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every tensor with that of rank 0."""
        if self.world > 1:
            for one in tensors:
                ops.assign(one, ops.Broadcast(0)((one,))[0])

    def barrier(self) -> None:
        """Return when every rank has called it."""
        if self.world > 1:
            ops.AllReduce()(Tensor([0.0], mindspore.float32)).asnumpy()

    def release(self) -> None:
        """Give back what finished objectives held; they hang in reference cycles, and their graphs in a cache."""
        gc.collect()
        mindspore.ms_memory_recycle()
        give_back()

    def memory_gib(self) -> float:
        """Return the peak memory so far in GiB: of the NPU's tensors, or of this process on a CPU."""
        if self.device == "ascend":
            return mindspore.runtime.max_memory_allocated() / 2**30
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    def describe(self) -> dict[str, str]:
        """Return versions and device for the log and the checkpoint."""
        device = mindspore.hal.get_device_name(0) if self.device == "ascend" else platform.machine()
        return {"mindspore": mindspore.__version__, "device": f"{self.device} ({device})"}

    def close(self) -> None:
        """Leave the other processes."""
        if self.world > 1:
            communication.release()


def _device(wanted: str) -> str:
    """Choose the device of this process; ``msrun`` tells each process its own NPU."""
    if wanted not in ("auto", *_DEVICES):
        raise UserError(f"device {wanted!r}: the mindspore backend knows auto, {' and '.join(_DEVICES)}")
    built_for = mindspore.get_context("device_target")
    device = built_for.lower() if wanted == "auto" else wanted
    if device not in _DEVICES:
        raise UserError(f"this MindSpore was built for {built_for}; TwinDA serves CPU and Ascend. Use --device cpu")
    if device == "ascend" and not mindspore.hal.is_available("Ascend"):
        raise UserError(f"device {wanted!r}: not there, this MindSpore was built for {built_for}. Use --device cpu")
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    _set_device(_DEVICES[device])
    if device == "cpu":  # its queues of operations wait by spinning: three threads a process, and twice the time
        mindspore.runtime.launch_blocking()
    return device


def _threads_of_environment() -> int:
    """Return ``OMP_NUM_THREADS``, or 0; it may also be a list, one for each nested level."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() else 0


def _set_device(target: str) -> None:
    """Set the device; after the first operation of a process it is fixed, which is fine when it is that one."""
    try:
        mindspore.set_device(target)
    except RuntimeError:
        if mindspore.get_context("device_target") != target:
            raise UserError(f"this process already computes on another device than {target}") from None
