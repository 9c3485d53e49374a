"""EfficientNet-B0 to B7 as torchvision builds them (Tan and Le, ICML 2019)."""

from torch import Tensor, nn

from common.networks.mobile import EfficientNetConfig
from common.networks.mobile_layers import Compound, MobileBlock, efficientnet
from torch_impl.nets.classifier import drop
from torch_impl.nets.convnorm import Layers, SqueezeExcitation
from torch_impl.nets.layers import linear


class MBConv(nn.Module):
    """Expand, convolve each channel, squeeze and excite, project; the whole branch may be dropped."""

    def __init__(self, block: MobileBlock, layers: Layers) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        if block.expanded != block.inputs:
            parts.append(layers.unit(block.inputs, block.expanded, 1, activation=block.activation))
        wide = block.expanded
        parts.append(layers.unit(wide, wide, block.kernel, block.stride, wide, block.activation, block.dilation))
        parts.append(SqueezeExcitation(layers, wide, block.squeezed, "silu", "sigmoid"))
        parts.append(layers.unit(wide, block.outputs, 1))
        self.block, self.residual = nn.Sequential(*parts), block.residual

    def forward(self, x: Tensor, kept: Tensor | None = None, rate: float = 0.0) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride)).

        Args:
            x: Input.
            kept: (N, 1) 1 for samples that keep the branch beside the shortcut, 0 for others; None drops nothing.
            rate: Share of samples that lose it.
        """
        out = self.block(x)
        if not self.residual:
            return out
        return x + (out if kept is None else drop(out, kept.reshape(-1, 1, 1, 1), rate))


def encoder(form: Compound, activation: str = "own", output_stride: int = 32) -> tuple[nn.Sequential, int]:
    """Return stem, seven stages of blocks and last convolution, and the channels that leave them.

    Args:
        form: Which EfficientNet.
        activation: ``"own"``, or ``"softplus"``: the smooth form for gradient tests.
        output_stride: 32, or 16 and 8 by dilation.
    """
    layers = Layers(form.eps, form.momentum, activation)
    stem, stages, last = efficientnet(form, output_stride)
    stack = nn.Sequential(
        layers.unit(3, stem, 3, 2, activation="silu"),
        *[nn.Sequential(*[MBConv(block, layers) for block in stage]) for stage in stages],
        layers.unit(stages[-1][-1].outputs, last, 1, activation="silu"),
    )
    return stack, last


class EfficientNet(nn.Module):
    """Stem, seven stages of blocks and last convolution ``features``; ``classifier``."""

    HEADS = ("classifier.",)

    def __init__(self, config: EfficientNetConfig, classes: int) -> None:
        super().__init__()
        self.rate, self.path_rates = config.head_dropout, config.path_rates()
        self.features, last = encoder(config.form, config.activation)
        # ``.0`` is torchvision's dropout; what it keeps comes with the call
        self.classifier = nn.Sequential(nn.Identity(), linear(last, classes))

    def forward(self, images: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return features and raw logits.

        Args:
            images: (N, 3, H, W) float32, normalised.
            dropout: (N, shortcuts + channels) 1 for what is kept, 0 for what is dropped: a column for the branch of
                each block with a shortcut, then those of the features before the classifier; None drops nothing.
        Returns:
            Means of the last convolution (N, channels), logits (N, classes).
        """
        x, column = self.features[0](images), 0
        for stage in range(1, len(self.features) - 1):
            for block in self.features[stage]:
                if block.residual and dropout is not None:
                    x = block(x, dropout[:, column : column + 1], self.path_rates[column])
                    column += 1
                else:
                    x = block(x)
        kept = None if dropout is None else dropout[:, column:]
        return self.top(self.features[len(self.features) - 1](x), kept)

    def top(self, maps: Tensor, dropout: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what ``forward`` does, of the maps (N, channels, h, w) of the last convolution.

        Args:
            maps: Its output.
            dropout: (N, channels) 1 for what is kept before the classifier, 0 for what is dropped; None drops nothing.
        """
        features = maps.mean((2, 3))
        return features, self.classifier[1](drop(features, dropout, self.rate))
