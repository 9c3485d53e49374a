"""HRNet with object-contextual representations (Yuan et al., ECCV 2020, arXiv 1909.11065)."""

from typing import Any

from mindspore import Tensor, nn, ops

from ms_impl.nets.hrnet import HRNet
from ms_impl.nets.layers import conv, softmax
from ms_impl.nets.noise import channel_dropout
from ms_impl.nets.resnet import ACTIVATIONS, batch_norm
from ms_impl.nets.training import freeze_affine


def conv_block(inputs: int, outputs: int, activation: str, kernel: int = 1, bias: bool = False) -> list[nn.Cell]:
    """Return a size-keeping convolution, BatchNorm and an activation."""
    first = conv(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    return [first, batch_norm(outputs), ACTIVATIONS[activation]()]


class PixelRegionRelations(nn.Cell):
    """Attention of every pixel over the regions (eq. 2 of the paper)."""

    def __init__(self, channels: int, keys: int, activation: str) -> None:
        super().__init__()
        self.scale = keys**-0.5
        self.pixel_rep = nn.SequentialCell(
            *conv_block(channels, keys, activation), *conv_block(keys, keys, activation)
        )
        self.obj_reg_rep = nn.SequentialCell(
            *conv_block(channels, keys, activation), *conv_block(keys, keys, activation)
        )

    def construct(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """Return weights (N, H * W, classes) that sum to 1 over the classes.

        Args:
            pixels: (N, channels, H, W).
            regions: (N, channels, classes, 1).
        """
        query, key = self.pixel_rep(pixels), self.obj_reg_rep(regions)
        query = query.reshape(query.shape[0], query.shape[1], -1).swapaxes(1, 2)
        return softmax(query @ key.reshape(key.shape[0], key.shape[1], -1) * self.scale, -1)


class OCRHead(nn.Cell):
    """Soft regions, their vectors, and every pixel's context as a mixture of them."""

    def __init__(
        self, inputs: int, channels: int, keys: int, classes: int, dropout: float, activation: str
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.pixel_representations = nn.SequentialCell(*conv_block(inputs, channels, activation, 3, bias=True))
        self.soft_object_regions = nn.SequentialCell(
            *conv_block(inputs, inputs, activation, bias=True), conv(inputs, classes, 1)
        )
        self.pixel_region_relations = PixelRegionRelations(channels, keys, activation)
        self.value = nn.SequentialCell(*conv_block(channels, keys, activation))
        self.ocr_up = nn.SequentialCell(*conv_block(keys, channels, activation))
        self.augmented_rep = nn.SequentialCell(*conv_block(2 * channels, channels, activation))
        self.segmentation_classes = nn.SequentialCell(conv(channels, classes, 1))

    def construct(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the soft regions' logits, the feature (N, channels, H, W) after its dropout, and the logits.

        Args:
            x: (N, inputs, H, W).
            noise: (N, channels) float32 in [0, 1) for the dropout; None drops nothing.
        """
        count, height, width = x.shape[0], x.shape[2], x.shape[3]
        soft, pixels = self.soft_object_regions(x), self.pixel_representations(x)
        share = softmax(soft.reshape(count, soft.shape[1], -1), -1)
        flat = pixels.reshape(count, pixels.shape[1], -1)
        regions = (flat @ share.swapaxes(1, 2)).expand_dims(3)
        weight = self.pixel_region_relations(pixels, regions)
        value = self.value(regions)
        value = value.reshape(count, value.shape[1], -1).swapaxes(1, 2)
        context = (weight @ value).swapaxes(1, 2).reshape(count, -1, height, width)
        joined = ops.concat([self.ocr_up(context), pixels], axis=1)
        feature = channel_dropout(self.augmented_rep(joined), noise, self.dropout)
        return soft, feature, self.segmentation_classes(feature)


class HRNetOCR(nn.Cell):
    """HRNet and the OCR head, under the names of the official checkpoints."""

    HEADS = ("ocrnet.",)
    AUXILIARY = 1  # place in the output of the auxiliary logits
    FEATURE = -2  # place in the output of the feature before the classifier

    def __init__(self, config: Any, classes: int) -> None:
        """Build.

        Args:
            config: Of class ``common.networks.hrnet_ocr.HRNetOCRConfig``.
            classes: Number of classes.
        """
        super().__init__()
        self.hrnet = HRNet(config)
        inputs = sum(config.branch_widths)
        channels, keys = config.head_channels, config.key_channels
        self.ocrnet = OCRHead(inputs, channels, keys, classes, config.dropout, config.activation)
        self.feature_channels = channels
        self.freeze_bn_stats, self.reverse_channels = config.freeze_bn_stats, config.reverse_channels
        if config.freeze_bn_affine:
            freeze_affine(self)

    def blocks(self) -> list[nn.Cell]:
        """Return the residual blocks in order."""
        return self.hrnet.blocks()

    def construct(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (backbone, soft regions' logits, feature, logits), all at stride 4.

        Args:
            images: (N, 3, H, W) float32, normalised.
            noise: (N, ``config.draws``) float32 in [0, 1) for the feature's dropout; None drops nothing.
        """
        x = self.hrnet(ops.flip(images, (1,)) if self.reverse_channels else images)
        return x, *self.ocrnet(x, noise)
