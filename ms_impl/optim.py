"""Optimizers by parameter name: SGD, Adam and AdamW in PyTorch's form, learning rates by group, clipping.

``mindspore.nn`` has other forms of Adam (eps at another place) and AdamW (no bias correction) and passes over names
with beta or gamma when it decays weights, so the updates are spelt out here.
"""

import math
from collections.abc import Mapping, Sequence

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, ops

from common.keys import check_keys
from common.schema import OptimConfig


class Optimizer:
    """Updates parameters from gradients; all groups are weight-decayed the same way.

    sgd: ``g += decay * p; b = momentum * b + g; p -= lr * b`` (Nesterov: ``p -= lr * (g + momentum * b)``).
    adam: decay as in sgd, then Kingma & Ba, ICLR 2015, with eps added to the corrected root.
    adamw: ``p -= lr * decay * p`` instead (Loshchilov & Hutter, ICLR 2019).

    Attributes:
        parameters: What is trained, in the order in which gradients are expected.
    """

    def __init__(self, groups: Mapping[str, Mapping[str, Tensor]], config: OptimConfig) -> None:
        """Begin with empty moments.

        Args:
            groups: ``{"backbone": {name: parameter}, "head": {...}}``.
            config: The section ``optim`` of a configuration.
        """
        self._names = [name for group in groups.values() for name in group]
        self.parameters = [parameter for group in groups.values() for parameter in group.values()]
        factors = {"backbone": config.backbone_lr_mult, "head": config.head_lr_mult}
        self._factors = [factors[name] for name, group in groups.items() for _ in group]
        self._rule = (_Sgd if config.name == "sgd" else _Adam)(self.parameters, config)

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Update all parameters.

        Args:
            gradients: One for each of ``parameters``.
            lr: Learning rate of this step, before the groups' factors.
        """
        self._rule.update(gradients, [lr * factor for factor in self._factors])

    def state(self) -> dict[str, np.ndarray]:
        """Return copies under the names of MindSpore's own optimizers.

        ``accum.NAME`` and ``stat.NAME`` (0: the buffer holds); or ``moment1.NAME``, ``moment2.NAME``, ``global_step``
        and ``beta1_power``, ``beta2_power`` = beta ** step.
        """
        moments = {f"{kind}.{name}": v for kind, values in self._rule.moments.items() for name, v in self._pair(values)}
        return {**{name: value.asnumpy().copy() for name, value in moments.items()}, **self._rule.counters()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a saved state.

        Raises:
            UserError: With the missing, unexpected and misshapen names; nothing is changed then.
        """
        moments = {f"{kind}.{name}": v for kind, values in self._rule.moments.items() for name, v in self._pair(values)}
        want = {name: tuple(value.shape) for name, value in moments.items()}
        want.update({name: value.shape for name, value in self._rule.counters().items()})
        check_keys(want, {name: tuple(np.shape(value)) for name, value in state.items()}, "optimizer state")
        for name, value in moments.items():
            value.set_data(Tensor(np.array(state[name]), value.dtype))
        if "global_step" in want:
            self._rule.steps = int(state["global_step"][0])

    def _pair(self, values: Sequence[Tensor]) -> zip:
        return zip(self._names, values)


def clip_by_global_norm(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return gradients scaled so that the norm of all together is at most ``limit`` (Pascanu et al., ICML 2013).

    The factor is ``min(1, limit / (norm + 1e-6))``; a norm that is not finite makes every gradient so.
    """
    norm = ops.sqrt(ops.stack([ops.square(one).sum() for one in gradients]).sum())
    factor = ops.minimum(limit / (norm + 1e-6), 1.0)
    return [one * factor for one in gradients]


def all_finite(gradients: Sequence[Tensor]) -> bool:
    """Return whether no gradient holds an infinity or a NaN; waits for the device."""
    return bool(ops.stack([ops.isfinite(one).all() for one in gradients]).all())


class _Sgd:
    """MindSpore's fused kernel, which agrees with PyTorch's SGD."""

    def __init__(self, parameters: Sequence[Parameter], config: OptimConfig) -> None:
        nesterov = config.nesterov and config.momentum > 0
        self._kernel = ops.SGD(dampening=0.0, weight_decay=config.weight_decay, nesterov=nesterov)
        self._parameters, self._momentum = parameters, Tensor(config.momentum, mindspore.float32)
        self._accum, self._stat = _zeros(parameters, "accum"), _zeros(parameters, "stat")
        self.moments = {"accum": self._accum, "stat": self._stat} if config.momentum else {}

    def update(self, gradients: Sequence[Tensor], rates: Sequence[float]) -> None:
        known = {rate: Tensor(rate, mindspore.float32) for rate in set(rates)}
        for parameter, gradient, rate, accum, stat in zip(
            self._parameters, gradients, rates, self._accum, self._stat
        ):
            self._kernel(parameter, gradient, known[rate], accum, self._momentum, stat)

    def counters(self) -> dict[str, np.ndarray]:
        return {}


class _Adam:
    """Adam and AdamW: moments op by op, the last division by MindSpore's fused kernel.

    The kernel computes ``p -= rate * m / (sqrt(v) + eps)`` once its own betas are 1, which leaves the moments alone.
    Given ``lr * sqrt(c2) / c1`` and ``eps * sqrt(c2)``, where ``c = 1 - beta ** step``, that is PyTorch's
    ``p -= lr / c1 * m / (sqrt(v / c2) + eps)``. Its own moments would not do: in float32 1 - 0.999 is wrong by 5e-5.
    """

    def __init__(self, parameters: Sequence[Parameter], config: OptimConfig) -> None:
        self._parameters, self._config = parameters, config
        self._kernel, self._one, self._zero = ops.Adam(), _scalar(1.0), _scalar(0.0)
        self._moment1, self._moment2 = _zeros(parameters, "moment1"), _zeros(parameters, "moment2")
        self.moments = {"moment1": self._moment1, "moment2": self._moment2}
        self.steps = 0

    def update(self, gradients: Sequence[Tensor], rates: Sequence[float]) -> None:
        config, (beta1, beta2) = self._config, self._config.betas
        self.steps += 1
        root = math.sqrt(1.0 - beta2**self.steps)
        eps, correction = _scalar(config.eps * root), root / (1.0 - beta1**self.steps)
        known = {rate: _scalar(rate * correction) for rate in set(rates)}
        for p, g, rate, m, v in zip(self._parameters, gradients, rates, self._moment1, self._moment2):
            if config.weight_decay and config.name == "adamw":
                ops.assign(p, p * (1.0 - rate * config.weight_decay))
            elif config.weight_decay:
                g = g + p * config.weight_decay
            ops.assign(m, m * beta1 + g * (1.0 - beta1))  # Tensor.mul_ and add_ change nothing on the CPU
            ops.assign(v, v * beta2 + ops.square(g) * (1.0 - beta2))
            self._kernel(p, m, v, self._zero, self._zero, known[rate], self._one, self._one, eps, g)

    def counters(self) -> dict[str, np.ndarray]:
        powers = {f"beta{i}_power": np.array(b**self.steps, np.float32) for i, b in enumerate(self._config.betas, 1)}
        return {"global_step": np.array([self.steps], np.int32), **powers}


def _zeros(parameters: Sequence[Parameter], kind: str) -> list[Parameter]:
    return [
        Parameter(ops.zeros(one.shape, mindspore.float32), name=f"{kind}.{one.name}", requires_grad=False)
        for one in parameters
    ]


def _scalar(value: float) -> Tensor:
    return Tensor(value, mindspore.float32)
