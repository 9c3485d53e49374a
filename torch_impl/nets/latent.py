"""AuG-KD's networks around a latent space: generator, encoder, anchor network (Tang et al., ICLR 2024)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.networks.latent import AnchorConfig, EncoderConfig, GeneratorConfig
from torch_impl.nets.convnorm import Layers
from torch_impl.nets.layers import linear

_LOG_VARIANCE = (-5.0, 3.0)  # the encoder's, clipped
_NOISE = 10.0  # largest magnitude of its noise
_SLOPE = 0.2  # of LeakyReLU between image and latent vector; the anchor network has PyTorch's own 0.01


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return (N, classes) float32 with a 1 at each label of (N,) integers; a row of zeros for labels out of range."""
    return (labels[:, None] == torch.arange(classes, dtype=labels.dtype, device=labels.device)).float()


class Generator(nn.Module):
    """Latent vectors to images in (0, 1); conditional: the label is appended to the vector."""

    HEADS = ()

    def __init__(self, config: GeneratorConfig, classes: int) -> None:
        super().__init__()
        layers, narrow, middle, wide = Layers(), config.width, 2 * config.width, 4 * config.width
        self.side, self.classes, self.conditional = config.size // 4, classes, config.conditional
        inputs = config.latent + (classes if config.conditional else 0)
        self.embed = nn.Sequential(
            linear(inputs, wide * self.side**2), nn.Unflatten(1, (wide, self.side, self.side)), layers.norm(wide)
        )
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), layers.conv(wide, middle, 3), layers.norm(middle), nn.LeakyReLU(_SLOPE),
            nn.Upsample(scale_factor=2), layers.conv(middle, narrow, 3), layers.norm(narrow), nn.LeakyReLU(_SLOPE),
            layers.conv(narrow, 3, 3, bias=True), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images (N, 3, H, W) float32 in (0, 1).

        Args:
            latent: (N, L) float32.
            labels: (N,) integers; read by a conditional generator only.
        """
        if self.conditional:
            latent = torch.cat([latent, one_hot(labels, self.classes).to(latent.dtype)], 1)
        return self.decoder(self.embed(latent))


class Encoder(nn.Module):
    """Images and labels to latent vectors, variational (Kingma & Welling, ICLR 2014; conditional on the label)."""

    HEADS = ()

    def __init__(self, config: EncoderConfig, classes: int) -> None:
        super().__init__()
        layers, narrow, middle, wide = Layers(), config.width, 2 * config.width, 4 * config.width
        self.size, self.classes = config.size, classes
        self.embed_class = nn.Sequential(linear(classes, config.size**2))
        self.embed_data = layers.conv(3, 3, 1, bias=True)
        self.encoder = nn.Sequential(
            layers.norm(4),
            HalfSize(),
            nn.Sequential(layers.conv(4, narrow, 3), layers.norm(narrow), nn.LeakyReLU(_SLOPE)),
            HalfSize(),
            nn.Sequential(layers.conv(narrow, middle, 3), layers.norm(middle), nn.LeakyReLU(_SLOPE)),
            nn.Sequential(layers.conv(middle, wide, 3, bias=True), layers.norm(wide), nn.Tanh()),
        )
        hidden = wide * (config.size // 4) ** 2
        self.fc_mu, self.fc_var = linear(hidden, config.latent), linear(hidden, config.latent)

    def forward(self, images: Tensor, labels: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return latent vectors, their means and the logarithms of their variances, each (N, L) float32.

        Args:
            images: (N, 3, H, W) float32 in [0, 1], not normalised.
            labels: (N,) integers.
            noise: (N, L) standard normal; clipped to [-10, 10]. It is added in evaluation mode too.
        """
        place = self.embed_class(one_hot(labels, self.classes).to(images.dtype))
        place = place.reshape(-1, 1, self.size, self.size)
        features = self.encoder(torch.cat([self.embed_data(images), place], 1)).flatten(1)
        mean = self.fc_mu(features)
        log_variance = self.fc_var(features).clamp(*_LOG_VARIANCE)
        return noise.clamp(-_NOISE, _NOISE) * (0.5 * log_variance).exp() + mean, mean, log_variance


class HalfSize(nn.Module):
    """Keeps every other row and column, beginning with the first: nearest resizing by 0.5."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / 2, W / 2)."""
        return x[:, :, ::2, ::2]


class AnchorNet(nn.Module):
    """Latent vectors to anchors: a mask, which depends on the label alone, says how much of a vector is replaced."""

    HEADS = ()

    def __init__(self, config: AnchorConfig, classes: int) -> None:
        super().__init__()
        length = config.latent
        self.classes = classes
        self.embed_class = linear(classes, length)
        maps = [linear(length, length) for _ in range(3)]
        self.mask = nn.Sequential(*maps, nn.BatchNorm1d(length))
        self.module = nn.Sequential(
            nn.Identity(),
            nn.Conv1d(1, 4, 3, padding=1), nn.BatchNorm1d(4), nn.LeakyReLU(),
            nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.LeakyReLU(),
            nn.Conv1d(8, 4, 3, padding=1), nn.BatchNorm1d(4), nn.LeakyReLU(),
            nn.Flatten(),
            linear(4 * length, length),
        )  # fmt: skip

    def forward(self, latent: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return anchors and masks, each (N, L) float32; a mask is in [0, 1/3).

        Args:
            latent: (N, L) float32.
            labels: (N,) integers.
        """
        gate = self.mask(self.embed_class(one_hot(labels, self.classes).to(latent.dtype))).sigmoid() - 0.5
        mask = functional.softsign(gate).relu()
        mapped = self.module((latent * mask)[:, None])
        return mask * mapped + (1.0 - mask) * latent, mask
