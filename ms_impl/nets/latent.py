"""AuG-KD's networks around a latent space: generator, encoder, anchor network (Tang et al., ICLR 2024)."""

from collections.abc import Callable

from mindspore import Parameter, Tensor, nn, ops

from common.networks.latent import AnchorConfig, EncoderConfig, GeneratorConfig
from ms_impl.nets.convnorm import Layers
from ms_impl.nets.layers import linear
from ms_impl.numerics import sigmoid, tanh

_LOG_VARIANCE = (-5.0, 3.0)  # the encoder's, clipped
_NOISE = 10.0  # largest magnitude of its noise
_SLOPE = 0.2  # of LeakyReLU between image and latent vector; the anchor network has PyTorch's own 0.01


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return (N, classes) float32 with a 1 at each label of (N,) integers; a row of zeros for labels out of range."""
    return (labels.expand_dims(1) == ops.arange(classes).astype(labels.dtype)).float()


class Generator(nn.Cell):
    """Latent vectors to images in (0, 1); conditional: the label is appended to the vector."""

    HEADS = ()

    def __init__(self, config: GeneratorConfig, classes: int) -> None:
        super().__init__()
        layers, narrow, middle, wide = Layers(), config.width, 2 * config.width, 4 * config.width
        self.side, self.classes, self.conditional = config.size // 4, classes, config.conditional
        inputs = config.latent + (classes if config.conditional else 0)
        self.embed = nn.SequentialCell(
            linear(inputs, wide * self.side**2), _Unflatten(wide, self.side), layers.norm(wide)
        )
        self.decoder = nn.SequentialCell(
            _DoubleSize(), layers.conv(wide, middle, 3), layers.norm(middle), nn.LeakyReLU(_SLOPE),
            _DoubleSize(), layers.conv(middle, narrow, 3), layers.norm(narrow), nn.LeakyReLU(_SLOPE),
            layers.conv(narrow, 3, 3, bias=True), _Exact(sigmoid),
        )  # fmt: skip

    def construct(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images (N, 3, H, W) float32 in (0, 1).

        Args:
            latent: (N, L) float32.
            labels: (N,) integers; read by a conditional generator only.
        """
        if self.conditional:
            latent = ops.concat((latent, one_hot(labels, self.classes)), 1)
        return self.decoder(self.embed(latent))


class Encoder(nn.Cell):
    """Images and labels to latent vectors, variational (Kingma & Welling, ICLR 2014; conditional on the label)."""

    HEADS = ()

    def __init__(self, config: EncoderConfig, classes: int) -> None:
        super().__init__()
        layers, narrow, middle, wide = Layers(), config.width, 2 * config.width, 4 * config.width
        self.size, self.classes = config.size, classes
        self.embed_class = nn.SequentialCell(linear(classes, config.size**2))
        self.embed_data = layers.conv(3, 3, 1, bias=True)
        self.encoder = nn.SequentialCell(
            layers.norm(4),
            HalfSize(),
            nn.SequentialCell(layers.conv(4, narrow, 3), layers.norm(narrow), nn.LeakyReLU(_SLOPE)),
            HalfSize(),
            nn.SequentialCell(layers.conv(narrow, middle, 3), layers.norm(middle), nn.LeakyReLU(_SLOPE)),
            nn.SequentialCell(layers.conv(middle, wide, 3, bias=True), layers.norm(wide), _Exact(tanh)),
        )
        hidden = wide * (config.size // 4) ** 2
        self.fc_mu, self.fc_var = linear(hidden, config.latent), linear(hidden, config.latent)

    def construct(self, images: Tensor, labels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return latent vectors, their means and the logarithms of their variances, each (N, L) float32.

        Args:
            images: (N, 3, H, W) float32 in [0, 1], not normalised.
            labels: (N,) integers.
            noise: (N, L) standard normal; clipped to [-10, 10]. It is added in evaluation mode too.
        """
        place = self.embed_class(one_hot(labels, self.classes))
        place = place.reshape(-1, 1, self.size, self.size)
        features = self.encoder(ops.concat((self.embed_data(images), place), 1)).flatten(start_dim=1)
        mean = self.fc_mu(features)
        log_variance = ops.clamp(self.fc_var(features), *_LOG_VARIANCE)
        deviation = ops.expm1(0.5 * log_variance) + 1.0  # the CPU's exp is ten times as inexact
        return ops.clamp(noise, -_NOISE, _NOISE) * deviation + mean, mean, log_variance


class HalfSize(nn.Cell):
    """Keeps every other row and column, beginning with the first: nearest resizing by 0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = nn.MaxPool2d(1, 2)  # the gradient of a strided slice reads beyond its memory on the CPU

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / 2, W / 2)."""
        return self.pick(x)


class AnchorNet(nn.Cell):
    """Latent vectors to anchors: a mask, which depends on the label alone, says how much of a vector is replaced."""

    HEADS = ()

    def __init__(self, config: AnchorConfig, classes: int) -> None:
        super().__init__()
        layers, length = Layers(), config.latent
        self.classes = classes
        self.embed_class = linear(classes, length)
        maps = [linear(length, length) for _ in range(3)]
        self.mask = nn.SequentialCell(*maps, nn.BatchNorm1d(length, 1e-5, 0.9))
        self.module = nn.SequentialCell(
            nn.Identity(),
            _RowConv(1, 4, 3), layers.norm(4), nn.LeakyReLU(0.01),
            _RowConv(4, 8, 3), layers.norm(8), nn.LeakyReLU(0.01),
            _RowConv(8, 4, 3), layers.norm(4), nn.LeakyReLU(0.01),
            nn.Flatten(),
            linear(4 * length, length),
        )  # fmt: skip

    def construct(self, latent: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return anchors and masks, each (N, L) float32; a mask is in [0, 1/3).

        Args:
            latent: (N, L) float32.
            labels: (N,) integers.
        """
        gate = sigmoid(self.mask(self.embed_class(one_hot(labels, self.classes)))) - 0.5
        mask = ops.relu(gate / (1.0 + ops.abs(gate)))
        mapped = self.module((latent * mask).expand_dims(1).expand_dims(1))  # BatchNorm1d takes no rows here
        return mask * mapped + (1.0 - mask) * latent, mask


class _RowConv(nn.Cell):
    """Conv1d of rows (N, C, 1, L) that keeps the length; MindSpore's own holds its weights in four axes."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = Parameter(ops.zeros((outputs, inputs, kernel)), name="weight")
        self.bias = Parameter(ops.zeros(outputs), name="bias")
        self.convolution = ops.Conv2D(outputs, (1, kernel), pad_mode="pad", pad=(0, 0, kernel // 2, kernel // 2))

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, inputs, 1, L) to (N, outputs, 1, L)."""
        return self.convolution(x, self.weight.expand_dims(2)) + self.bias.reshape(1, -1, 1, 1)


class _Exact(nn.Cell):
    """An activation whose built-in layer is too inexact on the CPU."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def construct(self, x: Tensor) -> Tensor:
        """Map any shape to the same."""
        return self.function(x)


class _Unflatten(nn.Cell):
    """Maps (N, C * side * side) to (N, C, side, side)."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.shape = (-1, channels, side, side)

    def construct(self, x: Tensor) -> Tensor:
        """Reshape."""
        return x.reshape(self.shape)


class _DoubleSize(nn.Cell):
    """Repeats every row and column: nearest resizing by 2."""

    def construct(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, 2 H, 2 W)."""
        return ops.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode="nearest")
