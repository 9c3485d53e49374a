"""What the BatchNorm layers of a network see, against what they remember (DeepInversion, Yin et al., CVPR 2020)."""

from functools import partial

from mindspore import Tensor, nn, ops
from mindspore.nn import Cell as Network


class InputStatistics:
    """Records mean and variance of the input of every BatchNorm2d while it is entered (``with``).

    Gradients flow through what is recorded. Passes that record are not compiled: graphs keep no hooks.

    Attributes:
        names: Paths of the layers, in the network's order.
        channels: Number of all their channels.
    """

    def __init__(self, network: Network) -> None:
        """Hook every BatchNorm2d of a network."""
        layers = [(name, one) for name, one in network.cells_and_names() if isinstance(one, nn.BatchNorm2d)]
        self.names = [name for name, _ in layers]
        self._layers = [layer for _, layer in layers]
        self.channels = sum(layer.num_features for layer in self._layers)
        self._seen: dict[int, tuple[Tensor, Tensor]] = {}
        self._records = False
        for index, layer in enumerate(self._layers):
            layer.register_forward_pre_hook(partial(self._record, index))

    def __enter__(self) -> "InputStatistics":
        """Begin to record."""
        self._seen, self._records = {}, True
        return self

    def __exit__(self, *error: object) -> None:
        """Stop; what was recorded is let go."""
        self._seen, self._records = {}, False

    def collected(self) -> tuple[Tensor, Tensor]:
        """Return the means and unbiased variances of the last pass, (channels,) each; biased where one value was seen.

        Layers follow each other in the network's order.
        """
        means, variances = zip(*(self._seen[index] for index in range(len(self._layers))))
        return ops.concat(means), ops.concat(variances)

    def running(self) -> tuple[Tensor, Tensor]:
        """Return copies of the running means and variances, (channels,) each, in the same order."""
        means = ops.concat([layer.moving_mean for layer in self._layers])
        return means, ops.concat([layer.moving_variance for layer in self._layers])

    def _record(self, index: int, _: nn.Cell, inputs: tuple[Tensor]) -> None:
        if self._records:
            self._seen[index] = channel_statistics(inputs[0])


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance of each channel of (N, C, H, W), (C,) each; biased where one value is there."""
    count = x.shape[0] * x.shape[2] * x.shape[3]
    mean = x.mean((0, 2, 3))
    variance = (x - mean.reshape(1, -1, 1, 1)).square().sum((0, 2, 3)) / max(count - 1, 1)
    return mean, variance
