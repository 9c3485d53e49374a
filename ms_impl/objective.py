"""The base of every objective: owns the networks and the optimizer of a stage and runs one train step.

A subclass writes down its losses in ``construct``; everything around them is here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.nn import Cell as Network

from common.accumulate import Step, parts
from common.data.labels import class_set
from common.keys import check_keys
from common.loss_scale import LossScale
from common.networks import NetworkConfig
from common.schema import OptimConfig
from ms_impl.averaging import Follower
from ms_impl.compiled import Compiled
from ms_impl.execution import lower_precision, running_statistics, synchronise
from ms_impl.nets import build_network
from ms_impl.nets.recompute import recompute_blocks
from ms_impl.nets.training import parameter_groups, set_mode, share_parameters
from ms_impl.optim import Optimizer, all_finite, clip_by_global_norm
from ms_impl.passes import Mean, Pass, Trained
from ms_impl.weights import get_weights, set_weights

_NONE = 1e-3  # instead of a total of no item; a mean over micro-batches may be less than one


class Objective(nn.Cell):
    """One train step of one stage.

    Subclasses define ``construct``, whose arguments are the batch's keys (optional ones default to None) and which
    returns the loss and its parts, and ``names``, what these are called.

    Attributes:
        ROLES: Names of the networks that are held fixed; each becomes an attribute, or None when not given.
        alone: Whether this is the only rank.
        network: The network that trains.
        main: It with its optimizer.
        moving: Networks beside it whose running statistics move with each rank's images, and become their mean.
        mean: Gives the mean of what passes find on the micro-batches of a step.
        average: Its averaged copy when ``train.ema`` asks for one, else None.
    """

    ROLES: tuple[str, ...] = ()

    def __init__(self, config: Any, backend: Any, frozen: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        """Build the networks with their initial weights: those of ``network.weights``, or drawn from the seed.

        Args:
            config: The configuration.
            backend: The opened backend.
            frozen: Role -> weights of a fixed network, under the framework's own names.
        Raises:
            UserError: If weights do not fit, or the device lacks what ``train`` asks for.
        """
        super().__init__()
        self.config, self.backend, self.alone = config, backend, backend.world == 1
        self._world = backend.world  # graphs cannot read the backend
        self._all_reduce = None if self.alone else ops.AllReduce()
        self.network = self._new_network(self.network_config(), trains=True)
        self._load_initial_weights()
        self.average = self._new_network(self.network_config()) if config.train.ema is not None else None
        self._follower = Follower(self.average, self.network, backend.compile) if self.average is not None else None
        for role in self.ROLES:
            given = (frozen or {}).get(role)
            setattr(self, role, None if given is None else self._new_network(self.role_config(role)))
            if given is not None:
                set_weights(getattr(self, role), given, f"weights of the {role.replace('_', ' ')}")
        self._start_average()
        # Changing modes would compile the step again; so predictions have cells of their own, with the same parameters
        mirror = None if self.average else self._new_network(self.network_config())
        self._mirror = mirror and share_parameters(self.network, mirror)
        self._reversed, self._scale = config.input.order == "bgr", config.input.scale
        self._mean, self._std = (_per_channel(value, backend) for value in (config.input.mean, config.input.std))
        self._scaler = LossScale() if config.train.precision == "fp16" else None
        self._further: dict[str, Trained] = {}
        self.moving: list[Network] = []
        self.mean = Mean(backend.compile)
        self.main = Trained(self.network, Optimizer(parameter_groups(self.network), config.optim, backend.compile))
        self._forward = self.differentiated(self.construct, self.main)
        self._logits = Compiled(self._evaluated_logits, backend.compile)

    def names(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Return the names of what ``construct`` returns for a batch of these keys; the first is the total loss."""
        raise NotImplementedError

    def network_config(self) -> NetworkConfig:
        """Return the description of the network that trains: the configuration's, unless a method has several."""
        return self.config.network

    def role_config(self, role: str) -> NetworkConfig:
        """Return the description of the fixed network in a role: by default that of the network that trains."""
        return self.network_config()

    def normalise(self, images: Tensor) -> Tensor:
        """Return what the network sees of images (N, 3, H, W) uint8 RGB: float32, as the section ``input`` says."""
        return self._normalised(images.astype(mindspore.float32), 1.0 / self._scale)

    def normalise_unit(self, images: Tensor) -> Tensor:
        """Return what the network sees of images (N, 3, H, W) float32 RGB in [0, 1], such as generated ones."""
        return self._normalised(images, 1.0 / (255.0 * self._scale))

    def share(self, count: Tensor, mean: Tensor | None = None) -> Tensor:
        """Return the factor that makes a mean over a batch's items its part of the mean over all items of the step.

        Args:
            count: () float32, the items of this rank's batch.
            mean: () float32, those of a batch on average where the step has several on this rank; None: ``count``.
        Returns:
            () float32: count * ranks / total, 1 on average.
        """
        total = count if mean is None else mean
        if not self.alone:
            total = self._all_reduce(total)
        return count * self._world / ops.maximum(total, _NONE)

    def step(self, batch: Step, lr: float) -> dict[str, Tensor]:
        """Train on one batch: forward, losses, backward, mean over ranks, clip, update, average.

        Args:
            batch: Arrays by the names of ``construct``'s arguments; or micro-batches, whose mean gradient counts.
            lr: Learning rate of the backbone; the heads' factor is applied here.
        Returns:
            Device scalars, the total ``loss`` first; nothing waits for the device but float16's check for overflow.
        """
        done = self.mean(self._forward(one, self.names(tuple(one))) for one in parts(batch))
        self.update(self.main, done.gradients, lr)
        return done.losses

    def update(self, trained: Trained, gradients: Sequence[Tensor], lr: float) -> None:
        """Let one network learn: mean over ranks, clip, update; the averaged copy follows the main network.

        Args:
            trained: ``main`` or what ``further`` returned.
            gradients: Of this rank, one for each parameter of its optimizer.
            lr: Learning rate before the groups' factors.
        """
        gradients = self._agree(trained.network, gradients)
        finite = self._scaler is None or all_finite(gradients)
        if finite:
            if self.config.optim.clip:
                gradients = clip_by_global_norm(gradients, self.config.optim.clip)
            trained.optimizer.step(gradients, lr)
            if self.average is not None and trained is self.main:
                self._follower.follow(self.config.train.ema)
        if self._scaler is not None:
            self._scaler.update(finite)

    def further(self, name: str, network: Network, optim: OptimConfig) -> Trained:
        """Add a network that trains beside the main one, with an optimizer of its own; ``name`` becomes an attribute.

        Its weights and its optimizer are the parts ``name`` and ``optimizer_name`` of ``state``.
        """
        set_mode(network, True)
        self.backend.broadcast(list(network.get_parameters()))
        setattr(self, name, network)
        self._further[name] = Trained(network, Optimizer(parameter_groups(network), optim, self.backend.compile))
        return self._further[name]

    def unmoved(self, network: Network, described: NetworkConfig) -> Network:
        """Return a network in evaluation mode for good that has the parameters of one that trains, not copies."""
        return share_parameters(network, self._new_network(described))

    def differentiated(self, function: Callable[..., tuple[Tensor, ...]], trained: Trained) -> Pass:
        """Return a method that gives losses with its gradients in the parameters of one network; see ``Pass``."""
        return Pass(function, trained, self.backend, self._scaler)

    def gradients(self, batch: Mapping[str, np.ndarray]) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
        """Return the losses of a batch and the gradient of each trained parameter by name; trains nothing."""
        before = get_weights(self.network)  # the pass moves running statistics
        done = self._forward(batch, self.names(tuple(batch)))
        gradients = self._agree(self.network, done.gradients)
        set_weights(self.network, before)
        return done.losses, self.main.named(self.backend, gradients)

    def predict(self, images: np.ndarray) -> Tensor:
        """Return raw logits (N, C, h, w) of images (N, 3, H, W) uint8 RGB, by the averaged network if there is one."""
        return self.logits(self.normalise(self.backend.tensor(images)))

    def logits(self, images: Tensor) -> Tensor:
        """Return raw logits (N, C, h, w) of normalised images (N, 3, H, W), in evaluation mode, without gradient."""
        return self._logits(images)

    @property
    def evaluated(self) -> Network:
        """The network whose predictions count."""
        return self._mirror if self.average is None else self.average

    def state(self) -> dict[str, dict[str, np.ndarray]]:
        """Return copies of everything that a resumed stage needs, in parts: model, optimizer, ema, scaler, memory."""
        parts = {"model": get_weights(self.network), "optimizer": self.main.optimizer.state()}
        for name, trained in self._further.items():
            parts |= {name: get_weights(trained.network), f"optimizer_{name}": trained.optimizer.state()}
        if self.average is not None:
            parts["ema"] = get_weights(self.average)
        if self._scaler is not None:
            parts["scaler"] = self._scaler.state()
        memory = self.memory()
        return {**parts, "memory": memory} if memory else parts

    def load_state(self, state: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Go on from a saved state.

        Raises:
            UserError: If parts or names are missing, unexpected, or of another shape.
        """
        check_keys(dict.fromkeys(self.state(), ()), dict.fromkeys(state, ()), "the checkpoint's parts")
        set_weights(self.network, state["model"], "model")
        self.main.optimizer.load_state(state["optimizer"])
        for name, trained in self._further.items():
            set_weights(trained.network, state[name], name)
            trained.optimizer.load_state(state[f"optimizer_{name}"])
        if self.average is not None:
            set_weights(self.average, state["ema"], "ema")
        if self._scaler is not None:
            self._scaler.load_state(state["scaler"])
        if "memory" in state:
            self.load_memory(state["memory"])

    def memory(self) -> dict[str, np.ndarray]:
        """Return copies of what a method remembers beside weights: thresholds, centroids, counters; empty for most."""
        return {}

    def load_memory(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what ``memory`` returned.

        Raises:
            UserError: If names or shapes differ.
        """
        assert not arrays, "an objective with a memory loads it"

    def load_weights(
        self, weights: Mapping[str, np.ndarray], may_miss: Sequence[str] = (), may_exceed: Sequence[str] = ()
    ) -> None:
        """Take over the weights of another stage or file; the averaged copy starts from them, the optimizer stays.

        Raises:
            UserError: With the missing, unexpected and misshapen names, but for those that begin as allowed.
        """
        set_weights(self.network, weights, "weights", may_miss, may_exceed)
        self._start_average()

    def load_optimizer(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over the moments with which another stage of the same network ended.

        Raises:
            UserError: With the missing, unexpected and misshapen names.
        """
        self.main.optimizer.load_state(state)

    def _new_network(self, described: NetworkConfig, trains: bool = False) -> Network:
        """Return a network on the device; one that does not train is in evaluation mode for good."""
        train = self.config.train
        network = build_network(described, len(class_set(self.config.classes)), self.config.seed)
        if train.sync_bn:  # a network that does not train may yet be put into training mode
            network = synchronise(network, self.backend.device)
        if trains and train.recompute:
            recompute_blocks(network)
        lower_precision(network, train.precision, self.backend.device)
        set_mode(network, trains)
        if not trains:
            for parameter in network.get_parameters():
                parameter.requires_grad = False
        return network

    def _load_initial_weights(self) -> None:
        net = self.network_config()
        if net.weights:
            set_weights(self.network, self.backend.load(net.weights), str(net.weights), net.may_miss, net.may_exceed)
        self.backend.broadcast(list(self.network.get_parameters()))

    def _normalised(self, images: Tensor, whole: float) -> Tensor:
        """Divide by ``whole`` first, as the official codes do: a product with 1 / 255 would round otherwise."""
        images = ops.flip(images, (1,)) if self._reversed else images
        return (images / whole - self._mean) / self._std

    def _start_average(self) -> None:
        if self.average is not None:
            set_weights(self.average, get_weights(self.network))

    def _evaluated_logits(self, images: Tensor) -> Tensor:
        return self.evaluated(images)[-1]

    def _agree(self, network: Network, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean gradients of all ranks; running statistics become their mean too, in the same exchange."""
        if self.alone:
            return list(gradients)
        statistics = [value for one in (network, *self.moving) for value in running_statistics(one)]
        means = self.backend.average_tensors([*gradients, *statistics])
        for value, mean in zip(statistics, means[len(gradients) :]):
            ops.assign(value, mean)
        return means[: len(gradients)]


def _per_channel(values: Sequence[float], backend: Any) -> Tensor:
    return backend.tensor(np.array(values, np.float32).reshape(1, len(values), 1, 1))
