"""Exports a network as MINDIR through the MindSpore twin: as free in batch and size as MindSpore can make it."""

import tempfile
from pathlib import Path

import numpy as np

from common.backends import open_backend
from common.draws import generator
from common.errors import UserError
from common.tolerances import LOGITS
from convert.formats.files import published
from convert.gap import relative_gap
from convert.images import SHAPES, fixed_size
from convert.subject import Subject, fill

SIZE = (512, 256)  # of the images where the size cannot be free and none is asked for

Shape = tuple[int | None, int, int | None, int | None]  # (N, 3, H, W) of the images; None is free


def export_mindir(subject: Subject, target: Path, size: tuple[int, int] | None = None) -> str:
    """Write the evaluated head as MINDIR: images (N, 3, H, W) float32, normalised -> raw logits.

    MindSpore 2.10 fixes H and W where a layer pads by an amount that follows from them, and N too where it pools with
    ``ceil_mode``; what it cannot free, or computes otherwise once it is free, is fixed.

    Args:
        subject: Checkpoint and configuration.
        target: File to write.
        size: (width, height) of the images; None frees it where that is possible.
    Returns:
        In words, what is free.
    Raises:
        UserError: If MindSpore is missing, or the exported file computes something else; nothing is written then.
    """
    objective = fill(open_backend("mindspore", device="cpu"), subject)
    reason = ""
    for shape in _wanted(size or fixed_size(subject.config)):
        try:
            content = _exported(objective, shape)
            gap = max(_gap(objective, content, count, height, width) for count, height, width in _checked(shape))
        except (TypeError, ValueError, RuntimeError) as error:  # MindSpore's, where it cannot leave an axis free
            reason = str(error).strip().splitlines()[0][:160]
            continue
        if gap <= LOGITS:
            with published(target) as file:
                file.write(content)
            return _words(shape)
        reason = f"its logits differ by {gap:.1e}, allowed are {LOGITS:.0e}"
    raise UserError(f"{target}: not written, MindSpore cannot export the network ({reason})")


def _wanted(size: tuple[int, int] | None) -> list[Shape]:
    """Return the shapes to try, the freest first."""
    width, height = size or SIZE
    free: list[Shape] = [] if size else [(None, 3, None, None)]
    return [*free, (None, 3, height, width), (1, 3, height, width)]


def _checked(shape: Shape) -> list[tuple[int, int, int]]:
    """Return the (N, H, W) on which a file of a shape is checked."""
    count, _, height, width = shape
    if height is None or width is None:
        return list(SHAPES)
    return [(count, height, width)] if count else [(1, height, width), (3, height, width)]


def _words(shape: Shape) -> str:
    count, _, height, width = shape
    if height is None:
        return "batch and size are free"
    return f"for images of {width}x{height}, {'the batch is free' if count is None else 'one at a time'}"


def _exported(objective, shape: Shape) -> bytes:
    import mindspore
    from mindspore import nn

    class Main(nn.Cell):
        """The evaluated head alone."""

        def __init__(self, network: nn.Cell):
            super().__init__(auto_prefix=False)
            self.network = network

        def construct(self, images):
            result = self.network(images)
            return result[-1] if isinstance(result, tuple) else result

    images = mindspore.Tensor(shape=list(shape), dtype=mindspore.float32)
    if None not in shape:
        images = mindspore.Tensor(np.zeros(shape, np.float32))
    with tempfile.TemporaryDirectory(prefix="twinda-") as folder:
        mindspore.export(Main(objective.evaluated), images, file_name=f"{folder}/network", file_format="MINDIR")
        return (Path(folder) / "network.mindir").read_bytes()


def _gap(objective, content: bytes, count: int, height: int, width: int) -> float:
    """Return the largest relative difference between a file's logits and the network's."""
    import mindspore
    from mindspore import nn

    images = generator(0, "mindir", height, width).standard_normal((count, 3, height, width), np.float32)
    with tempfile.TemporaryDirectory(prefix="twinda-") as folder:
        path = Path(folder) / "network.mindir"
        path.write_bytes(content)
        got = nn.GraphCell(mindspore.load(str(path)))(mindspore.Tensor(images)).asnumpy()
    want = objective.logits(mindspore.Tensor(images)).asnumpy()
    return relative_gap(got, want)
