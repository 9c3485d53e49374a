"""Optimizers by parameter name: SGD, Adam and AdamW in PyTorch's form, learning rates by group, clipping."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from common.keys import check_keys
from common.rectified import rectified
from common.repeats import repeats_of
from common.schedules import group_rate
from common.schema import OptimConfig


class Optimizer:
    """Updates parameters from gradients; all groups are weight-decayed the same way.

    sgd: ``g += decay * p; b = momentum * b + g; p -= lr * b`` (Nesterov: ``p -= lr * (g + momentum * b)``);
        ``config.repeats`` times in a step, each with the decay of the parameter as it is then.
    adam: decay as in sgd, then Kingma & Ba, ICLR 2015, with eps added to the corrected root.
    adamw: ``p -= lr * decay * p`` instead (Loshchilov & Hutter, ICLR 2019).
    ranger: decay as in adamw, rectified Adam, lookahead (Liu et al., ICLR 2020; Zhang et al., NeurIPS 2019).

    Attributes:
        parameters: What is trained, in the order in which gradients are expected.
    """

    def __init__(
        self, groups: Mapping[str, Mapping[str, Tensor]], config: OptimConfig, compile: bool = False
    ) -> None:
        """Begin with empty moments.

        Args:
            groups: ``{"backbone": {name: parameter}, "head": {...}}``.
            config: The section ``optim`` of a configuration.
            compile: Whether an update that takes many small operations is compiled; none of PyTorch's does.
        """
        self._names = [name for group in groups.values() for name in group]
        self.parameters = [parameter for group in groups.values() for parameter in group.values()]
        self._repeats = repeats_of(self._names, config.repeats)
        self._factors = {"backbone": config.backbone_lr_mult, "head": config.head_lr_mult}
        self._config = config
        listed = [{"params": list(group.values()), "group": name} for name, group in groups.items() if group]
        self._optimizer = _make(listed, config)
        self._moments, self._counts = _MOMENTS[config.name], config.name != "sgd"
        if config.name == "sgd" and not config.momentum:
            self._moments = ()
        for parameter in self.parameters:  # what PyTorch would make at the first step; a zero buffer acts like none
            state = self._optimizer.state[parameter]
            state.update({moment: torch.zeros_like(parameter) for moment in self._moments})
            if self._counts:
                state["step"] = torch.tensor(0.0)

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Update all parameters.

        Args:
            gradients: One for each of ``parameters``.
            lr: Learning rate of this step, before the groups' factors.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = group_rate(self._config, lr, self._factors[group["group"]])
        for done in range(max(self._repeats, default=1)):
            for parameter, gradient, times in zip(self.parameters, gradients, self._repeats):
                parameter.grad = gradient if done < times else None
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies: ``momentum_buffer.NAME``, or ``exp_avg.NAME``, ``exp_avg_sq.NAME`` and ``step``."""
        result = {f"{moment}.{name}": _array(value) for moment in self._moments for name, value in self._each(moment)}
        if self._counts:
            step = self._optimizer.state[self.parameters[0]]["step"]
            result["step"] = np.array(int(step), np.int64)
        return result

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a saved state.

        Raises:
            UserError: With the missing, unexpected and misshapen names; nothing is changed then.
        """
        want = {f"{moment}.{name}": tuple(v.shape) for moment in self._moments for name, v in self._each(moment)}
        want.update({"step": ()} if self._counts else {})
        check_keys(want, {name: tuple(np.shape(value)) for name, value in state.items()}, "optimizer state")
        for moment in self._moments:
            for name, value in self._each(moment):
                value.copy_(torch.from_numpy(np.array(state[f"{moment}.{name}"])))
        if self._counts:
            for parameter in self.parameters:
                self._optimizer.state[parameter]["step"].fill_(int(state["step"]))

    def _each(self, moment: str) -> list[tuple[str, Tensor]]:
        return [(name, self._optimizer.state[p][moment]) for name, p in zip(self._names, self.parameters)]


def clip_by_global_norm(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return gradients scaled so that the norm of all together is at most ``limit`` (Pascanu et al., ICML 2013).

    The factor is ``min(1, limit / (norm + 1e-6))``; a norm that is not finite makes every gradient so.
    """
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in gradients]))
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    return [one * factor for one in gradients]


def all_finite(gradients: Sequence[Tensor]) -> bool:
    """Return whether no gradient holds an infinity or a NaN; waits for the device."""
    return bool(torch.stack([one.isfinite().all() for one in gradients]).all())


class _Ranger(torch.optim.Optimizer):
    """With t the step: ``v = b2 v + (1 - b2) g^2; m = b1 m + (1 - b1) g; p -= decay lr p``, then the rectified update
    ``p -= lr r m / (sqrt(v) + eps)``, or ``p -= lr m / (1 - b1^t)`` while the variance is not tractable; every k-th
    step ``slow += alpha (p - slow); p = slow``.
    """

    def __init__(self, groups: Sequence[dict], config: OptimConfig) -> None:
        super().__init__(groups, {"lr": config.lr})
        self._config = config

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                self._update(parameter, self.state[parameter], group["lr"])

    def _update(self, p: Tensor, state: dict, lr: float) -> None:
        config, (beta1, beta2) = self._config, self._config.betas
        m, v, slow, g = state["exp_avg"], state["exp_avg_sq"], state["slow_buffer"], p.grad
        state["step"] += 1
        done = int(state["step"])
        if done == 1:
            slow.copy_(p)
        v.mul_(beta2).addcmul_(g, g, value=1.0 - beta2)
        m.mul_(beta1).add_(g, alpha=1.0 - beta1)
        p.mul_(1.0 - config.weight_decay * lr)
        factor, tractable = rectified(done, config.betas, config.ranger_threshold)
        p.sub_(m / (v.sqrt() + config.eps) if tractable else m, alpha=lr * factor)
        if done % config.lookahead_steps == 0:
            slow.add_(p - slow, alpha=config.lookahead_alpha)
            p.copy_(slow)


_MOMENTS = {
    "sgd": ("momentum_buffer",),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "ranger": ("exp_avg", "exp_avg_sq", "slow_buffer"),
}


def _make(groups: list[dict], config: OptimConfig) -> torch.optim.Optimizer:
    """Return PyTorch's own optimizer, where it has one; its learning rate is set at every step."""
    if config.name == "sgd":
        nesterov = config.nesterov and config.momentum > 0
        return torch.optim.SGD(groups, config.lr, config.momentum, 0.0, config.weight_decay, nesterov)
    if config.name == "ranger":
        return _Ranger(groups, config)
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return make(groups, config.lr, config.betas, config.eps, config.weight_decay)


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().copy()
