"""Weights as others saved them: wrapper prefixes, optimizer entries and old heads taken off, nothing guessed."""

from collections.abc import Mapping

import numpy as np

# A prefix is a wrapper only when every name carries it.
WRAPPERS = (
    "module.",  # DataParallel, DistributedDataParallel
    "_orig_mod.",  # torch.compile
    "Scale.",  # AdaptSegNet's ImageNet file
    "backbone.",
    "network.",  # MindSpore's train cells
    "_backbone.",
)
OLD_HEADS = {"Scale.": "layer5."}  # a classifier of another task, below its wrapper
OPTIMIZER = ("moments.", "accum.", "stat.", "moment1.", "moment2.", "momentum.")
COUNTERS = ("learning_rate", "global_step", "momentum", "beta1_power", "beta2_power", "current_iterator_step")


def unwrap(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of a file under the names of the bare network (DDM, sections 3.4 and 3.5).

    Optimizer entries of a MindSpore train cell are dropped, then every prefix that all names share, and, in
    AdaptSegNet's ImageNet file (``Scale.``), the old head ``layer5``. A file without any of these comes back as it is.

    Args:
        weights: Name -> array, as read.
    """
    kept = {name: value for name, value in weights.items() if name not in COUNTERS and not name.startswith(OPTIMIZER)}
    while prefix := next((p for p in WRAPPERS if kept and all(name.startswith(p) for name in kept)), None):
        kept = {name.removeprefix(prefix): value for name, value in kept.items()}
        if prefix in OLD_HEADS:
            kept = {name: value for name, value in kept.items() if not name.startswith(OLD_HEADS[prefix])}
    return kept
