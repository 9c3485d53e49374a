"""Optimizers by parameter name: SGD, Adam and AdamW in PyTorch's form, learning rates by group, clipping.

``mindspore.nn`` has other forms of Adam (eps at another place) and AdamW (no bias correction) and passes over names
with beta or gamma when it decays weights, so the updates are spelt out here.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import mindspore
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, ops

from common.keys import check_keys
from common.rectified import rectified
from common.repeats import repeats_of
from common.schedules import group_rate
from common.schema import OptimConfig
from ms_impl.compiled import Compiled


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
            compile: Whether an update that takes many small operations is compiled.
        """
        self._names = [name for group in groups.values() for name in group]
        self.parameters = [parameter for group in groups.values() for parameter in group.values()]
        factors, make = {"backbone": config.backbone_lr_mult, "head": config.head_lr_mult}, _RULES[config.name]
        self._config = config
        rules = {name: make(group, config, compile) for name, group in groups.items() if group}
        self._rules = [(factors[name], rule) for name, rule in rules.items()]

    def step(self, gradients: Sequence[Tensor], lr: float) -> None:
        """Update all parameters.

        Args:
            gradients: One for each of ``parameters``.
            lr: Learning rate of this step, before the groups' factors.
        """
        for factor, rule in self._rules:
            count = len(rule.parameters)
            rule.update(gradients[:count], group_rate(self._config, lr, factor))
            gradients = gradients[count:]

    def state(self) -> dict[str, np.ndarray]:
        """Return copies under the names of MindSpore's own optimizers.

        ``accum.NAME`` and ``stat.NAME`` (0: the buffer holds); or ``moment1.NAME``, ``moment2.NAME``, ``global_step``
        and ``beta1_power``, ``beta2_power`` = beta ** step.
        """
        arrays: dict[str, list[np.ndarray]] = {}
        for _, rule in self._rules:
            for kind, values in rule.moments().items():
                arrays.setdefault(kind, []).extend(values)
        moments = {f"{kind}.{n}": one for kind, values in arrays.items() for n, one in zip(self._names, values)}
        return {**moments, **self._rules[0][1].counters()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a saved state.

        Raises:
            UserError: With the missing, unexpected and misshapen names; nothing is changed then.
        """
        want = {name: value.shape for name, value in self.state().items()}
        check_keys(want, {name: tuple(np.shape(value)) for name, value in state.items()}, "optimizer state")
        names = self._names
        for _, rule in self._rules:
            count = len(rule.parameters)
            rule.load({kind: [state[f"{kind}.{name}"] for name in names[:count]] for kind in rule.moments()}, state)
            names = names[count:]


def clip_by_global_norm(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return gradients scaled so that the norm of all together is at most ``limit`` (Pascanu et al., ICML 2013).

    The factor is ``min(1, limit / (norm + 1e-6))``; a norm that is not finite makes every gradient so.
    """
    norm = ops.sqrt(ops.square(_flat(gradients)).sum())
    factor = ops.minimum(limit / (norm + 1e-6), 1.0)
    return [one * factor for one in gradients]


def all_finite(gradients: Sequence[Tensor]) -> bool:
    """Return whether no gradient holds an infinity or a NaN; waits for the device."""
    return bool(ops.isfinite(_flat(gradients)).all())


class _Sgd:
    """MindSpore's fused kernel, which agrees with PyTorch's SGD; one call a parameter, nothing to compile."""

    def __init__(self, group: Mapping[str, Parameter], config: OptimConfig, compile: bool) -> None:
        parameters, self._repeats = list(group.values()), repeats_of(group, config.repeats)
        nesterov = config.nesterov and config.momentum > 0
        self._kernel = ops.SGD(dampening=0.0, weight_decay=config.weight_decay, nesterov=nesterov)
        self.parameters, self._momentum = parameters, _scalar(config.momentum)
        self._kept = bool(config.momentum)
        self._accum, self._stat = (
            [_buffer(one.shape, f"{kind}.{one.name}") for one in parameters] for kind in ("accum", "stat")
        )

    def update(self, gradients: Sequence[Tensor], lr: float) -> None:
        rate = _scalar(lr)
        buffers = zip(self._accum, self._stat)
        for parameter, gradient, (accum, stat), times in zip(self.parameters, gradients, buffers, self._repeats):
            for _ in range(times):
                self._kernel(parameter, gradient, rate, accum, self._momentum, stat)

    def moments(self) -> dict[str, list[np.ndarray]]:
        kinds = {"accum": self._accum, "stat": self._stat} if self._kept else {}
        return {kind: [one.asnumpy().copy() for one in values] for kind, values in kinds.items()}

    def counters(self) -> dict[str, np.ndarray]:
        return {}

    def load(self, moments: Mapping[str, list[np.ndarray]], counters: Mapping[str, np.ndarray]) -> None:
        for kind, values in moments.items():
            for buffer, value in zip({"accum": self._accum, "stat": self._stat}[kind], values):
                ops.assign(buffer, Tensor(np.array(value, np.float32)))


class _Adam:
    """Adam and AdamW, compiled where compiling is on: op by op, a small tensor costs as much as a large one."""

    def __init__(self, group: Mapping[str, Parameter], config: OptimConfig, compile: bool) -> None:
        parameters = list(group.values())
        self.parameters, self._config = parameters, config
        self._moment1, self._moment2 = (
            [_buffer(one.shape, f"{kind}.{one.name}") for one in parameters] for kind in ("moment1", "moment2")
        )
        weights = (parameters, self._moment1, self._moment2)
        self._apply = Compiled(_over(_adam_update(config), *map(ParameterTuple, weights), compile), compile)
        self._steps = 0

    def update(self, gradients: Sequence[Tensor], lr: float) -> None:
        beta1, beta2 = self._config.betas
        self._steps += 1
        root = math.sqrt(1.0 - beta2**self._steps)
        rate, eps = lr * root / (1.0 - beta1**self._steps), self._config.eps * root
        kept = 1.0 - lr * self._config.weight_decay
        self._apply(_scalar(rate), _scalar(eps), _scalar(kept), *gradients)  # a tuple would be taken for a constant

    def moments(self) -> dict[str, list[np.ndarray]]:
        return {kind: [one.asnumpy().copy() for one in values] for kind, values in self._buffers().items()}

    def counters(self) -> dict[str, np.ndarray]:
        powers = {f"beta{i}_power": np.array(b**self._steps, np.float32) for i, b in enumerate(self._config.betas, 1)}
        return {"global_step": np.array([self._steps], np.int32), **powers}

    def load(self, moments: Mapping[str, list[np.ndarray]], counters: Mapping[str, np.ndarray]) -> None:
        for kind, values in moments.items():
            for buffer, value in zip(self._buffers()[kind], values):
                ops.assign(buffer, Tensor(np.array(value, np.float32)))
        self._steps = int(counters["global_step"][0])

    def _buffers(self) -> dict[str, list[Parameter]]:
        return {"moment1": self._moment1, "moment2": self._moment2}


def _over(
    update: Callable[..., Tensor], weights: ParameterTuple, first: ParameterTuple, second: ParameterTuple, compile: bool
) -> Callable[..., Tensor]:
    """Return the update of all parameters from that of one: a map in a graph, for which see ``averaging``, or a loop.

    Args:
        update: Takes three scalars, a parameter, its two moments and its gradient.
        weights: All parameters.
        first: Their first moments.
        second: Their second moments.
        compile: Whether a graph will be made of it.
    """
    each, over = ops.MultitypeFuncGraph("update"), ops.HyperMap()
    each.register(*["Tensor"] * 7)(update)

    def graph(a: Tensor, b: Tensor, c: Tensor, *gradients: Tensor) -> Tensor:
        over(ops.partial(each, a, b, c), weights, first, second, gradients)
        return a

    def loop(a: Tensor, b: Tensor, c: Tensor, *gradients: Tensor) -> Tensor:
        for p, m, v, g in zip(weights, first, second, gradients):
            update(a, b, c, p, m, v, g)
        return a

    return graph if compile else loop


def _adam_update(config: OptimConfig) -> Callable[..., Tensor]:
    """Return the update of one parameter.

    The fused kernel computes ``p -= rate * m / (sqrt(v) + eps)`` once its own betas are 1: moments stay as given.
    Given ``lr * sqrt(c2) / c1`` and ``eps * sqrt(c2)``, where ``c = 1 - beta ** step``, that is PyTorch's
    ``p -= lr / c1 * m / (sqrt(v / c2) + eps)``. Its own moments would not do: in float32 1 - 0.999 is wrong by 5e-5.
    """
    kernel, one, zero = ops.Adam(), _scalar(1.0), _scalar(0.0)
    (beta1, beta2), decay, decoupled = config.betas, config.weight_decay, config.name == "adamw"
    new1, new2 = 1.0 - beta1, 1.0 - beta2  # here, in double: a graph would subtract in float32

    def update(
        rate: Tensor, eps: Tensor, kept: Tensor, p: Parameter, m: Parameter, v: Parameter, g: Tensor
    ) -> Tensor:
        if decay and decoupled:
            ops.assign(p, p * kept)
        elif decay:
            g = g + p * decay
        ops.assign(m, m * beta1 + g * new1)  # Tensor.mul_ and add_ change nothing on the CPU
        ops.assign(v, v * beta2 + ops.square(g) * new2)
        kernel(p, m, v, zero, zero, rate, one, one, eps, g)
        return rate

    return update


class _Ranger(_Adam):
    """With t the step: ``v = b2 v + (1 - b2) g^2; m = b1 m + (1 - b1) g; p -= decay lr p``, then the rectified update
    ``p -= lr r m / (sqrt(v) + eps)``, or ``p -= lr m / (1 - b1^t)`` while the variance is not tractable; every k-th
    step ``slow += alpha (p - slow); p = slow``.
    """

    def __init__(self, group: Mapping[str, Parameter], config: OptimConfig, compile: bool) -> None:
        super().__init__(group, config, compile)
        parameters = self.parameters
        self._slow = [_buffer(one.shape, f"slow_buffer.{one.name}") for one in parameters]
        weights = (parameters, self._moment1, self._moment2)
        self._apply = Compiled(_over(_ranger_update(config), *map(ParameterTuple, weights), compile), compile)
        self._look = Compiled(_lookahead(parameters, self._slow, compile), compile)

    def update(self, gradients: Sequence[Tensor], lr: float) -> None:
        config = self._config
        self._steps += 1
        if self._steps == 1:
            for slow, parameter in zip(self._slow, self.parameters):
                ops.assign(slow, parameter)
        factor, tractable = rectified(self._steps, config.betas, config.ranger_threshold)
        kept = 1.0 - config.weight_decay * lr
        self._apply(_scalar(lr * factor), _scalar(float(tractable)), _scalar(kept), *gradients)
        if self._steps % config.lookahead_steps == 0:
            self._look(_scalar(config.lookahead_alpha))

    def _buffers(self) -> dict[str, list[Parameter]]:
        return {**super()._buffers(), "slow_buffer": self._slow}


def _ranger_update(config: OptimConfig) -> Callable[..., Tensor]:
    """Return the update of one parameter in a step without its lookahead; ``tractable`` is 1 or 0."""
    (beta1, beta2), eps = config.betas, config.eps
    new1, new2 = 1.0 - beta1, 1.0 - beta2  # here, in double: a graph would subtract in float32

    def update(
        rate: Tensor, tractable: Tensor, kept: Tensor, p: Parameter, m: Parameter, v: Parameter, g: Tensor
    ) -> Tensor:
        ops.assign(v, v * beta2 + ops.square(g) * new2)
        ops.assign(m, m * beta1 + g * new1)
        divisor = tractable * (ops.sqrt(v) + eps) + (1.0 - tractable)
        ops.assign(p, p * kept - rate * (m / divisor))
        return rate

    return update


def _lookahead(parameters: Sequence[Parameter], slow: Sequence[Parameter], compile: bool) -> Callable[..., Tensor]:
    """Return the move of all slow weights, which become the fast ones, given alpha; a map in a graph, as ``_over``."""
    fast, kept = ParameterTuple(parameters), ParameterTuple(slow)
    look, over = ops.MultitypeFuncGraph("look"), ops.HyperMap()

    @look.register("Tensor", "Tensor", "Tensor")
    def one(alpha: Tensor, p: Parameter, s: Parameter) -> Tensor:
        ops.assign(s, s + alpha * (p - s))
        return ops.assign(p, s)

    def graph(alpha: Tensor) -> Tensor:
        over(ops.partial(look, alpha), fast, kept)
        return alpha

    def loop(alpha: Tensor) -> Tensor:
        for p, s in zip(fast, kept):
            one(alpha, p, s)
        return alpha

    return graph if compile else loop


_RULES = {"sgd": _Sgd, "adam": _Adam, "adamw": _Adam, "ranger": _Ranger}


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return ops.concat([one.reshape(-1) for one in tensors])


def _buffer(shape: tuple[int, ...], name: str) -> Parameter:
    return Parameter(ops.zeros(shape, mindspore.float32), name=name, requires_grad=False)


def _scalar(value: float) -> Tensor:
    return Tensor(value, mindspore.float32)
