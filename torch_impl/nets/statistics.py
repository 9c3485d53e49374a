"""What the BatchNorm layers of a network see, against what they remember (DeepInversion, Yin et al., CVPR 2020)."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import Module as Network

from common.errors import UserError


class InputStatistics(nn.Module):
    """A pass of a classifier in evaluation mode that gives mean and variance of the input of every BatchNorm2d too.

    Gradients flow through them.

    Attributes:
        names: Paths of the layers, in the network's order.
        channels: Number of all their channels.
    """

    def __init__(self, network: Network) -> None:
        """Watch every BatchNorm2d of a network.

        Raises:
            UserError: If it has none.
        """
        super().__init__()
        layers = [(name, one) for name, one in network.named_modules() if isinstance(one, nn.BatchNorm2d)]
        if not layers:
            raise UserError(f"network {type(network).__name__} has no BatchNorm, whose statistics are asked for")
        self.names = [name for name, _ in layers]
        self._layers = [layer for _, layer in layers]
        self.channels = sum(layer.num_features for layer in self._layers)
        self.network, self._records = network, False
        self._seen: dict[int, tuple[Tensor, Tensor]] = {}
        for index, layer in enumerate(self._layers):
            layer.register_forward_pre_hook(partial(self._record, index))
        # Hooks and what they keep stay out of graphs. A decorator would cost every process the compiler's slow import.
        self.forward = torch.compiler.disable(self.forward)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return raw logits, and the means and unbiased variances; biased where a layer saw one value a channel.

        Args:
            images: (N, 3, H, W) float32, normalised.
        Returns:
            (N, classes), (channels,), (channels,); layers follow each other in the network's order.
        """
        self._records = True
        try:
            logits = self.network(images)[-1]
            means, variances = zip(*(self._seen[index] for index in range(len(self._layers))))
        finally:
            self._seen, self._records = {}, False  # lets the graph go
        return logits, torch.cat(means), torch.cat(variances)

    def running(self) -> tuple[Tensor, Tensor]:
        """Return copies of the running means and variances, (channels,) each, in the same order."""
        means = torch.cat([layer.running_mean for layer in self._layers])
        return means, torch.cat([layer.running_var for layer in self._layers])

    def _record(self, index: int, _: nn.Module, inputs: tuple[Tensor]) -> None:
        if self._records:
            self._seen[index] = channel_statistics(inputs[0])


def channel_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance of each channel of (N, C, H, W), (C,) each; biased where one value is there."""
    count = x.shape[0] * x.shape[2] * x.shape[3]
    mean = x.mean((0, 2, 3))
    variance = (x - mean[:, None, None]).square().sum((0, 2, 3)) / max(count - 1, 1)
    return mean, variance
