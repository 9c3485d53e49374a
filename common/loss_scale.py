"""Dynamic loss scaling: keeps small float16 gradients from vanishing (Micikevicius et al., ICLR 2018)."""

import numpy as np

from common.keys import check_keys

_FIRST, _LARGEST, _SMALLEST = 2.0**16, 2.0**24, 1.0
_FACTOR, _INTERVAL = 2.0, 2000  # the scale doubles after so many steps without overflow, and halves at each overflow


class LossScale:
    """The factor of the loss before the backward pass; gradients are divided by it again.

    Attributes:
        scale: Factor of the next step, a power of two.
        good_steps: Steps without overflow since the scale changed last.
    """

    def __init__(self) -> None:
        self.scale, self.good_steps = _FIRST, 0

    def update(self, finite: bool) -> None:
        """Adapt after a step whose gradients were all finite, or not (then the step must be skipped)."""
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.scale = max(self.scale / _FACTOR, _SMALLEST)
        elif self.good_steps == _INTERVAL:
            self.scale, self.good_steps = min(self.scale * _FACTOR, _LARGEST), 0

    def state(self) -> dict[str, np.ndarray]:
        """Return what ``load_state`` needs to go on."""
        return {"scale": np.array(self.scale, np.float32), "good_steps": np.array(self.good_steps, np.int64)}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a saved state.

        Raises:
            UserError: If names are missing or unexpected.
        """
        check_keys(dict.fromkeys(self.state(), ()), {name: value.shape for name, value in state.items()}, "scaler")
        self.scale, self.good_steps = float(state["scale"]), int(state["good_steps"])
