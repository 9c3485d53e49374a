"""One checkpoint in memory, whatever file it came from: weights, optimizer state and what stands beside them."""

from dataclasses import dataclass, field

import numpy as np

from convert.formats.files import SourceFile
from convert.optimizer import State

EXTRAS = "mindspore"  # key of a .pth under which MindSpore's own counters and texts wait for the way back


@dataclass
class Checkpoint:
    """What a file holds. Arrays are read-only views of the source file.

    ``framework`` says whose spelling the names have; ``skeleton`` is the nesting of a .pth file as JSON values, None
    for bare weights; ``forms`` is what PyTorch's nested optimizer states have besides moments, by their path.
    """

    framework: str
    weights: dict[str, np.ndarray]
    state: State = field(default_factory=State)  # the optimizer's moments and counters
    loose: dict[str, np.ndarray] = field(default_factory=dict)  # path in the nesting -> tensor that is no weight
    extras: dict[str, np.ndarray | str] = field(default_factory=dict)  # MindSpore's, without a place in PyTorch
    skeleton: object = None
    forms: dict[str, dict] = field(default_factory=dict)
    note: dict = field(default_factory=dict)  # what an earlier conversion left
    unwrapped: dict[str, str] = field(default_factory=dict)  # names before -> after a wrapper's prefix was taken off
    remarks: list[str] = field(default_factory=list)  # what the user should know
    source: SourceFile | None = None
