"""Mix Transformers with SegFormer's or DAFormer's head as networks of segmentation."""

from typing import Any

from mindspore import Tensor, nn

from ms_impl.nets.mit import MixTransformer
from ms_impl.nets.mit_heads import DAFormerHead, SegFormerHead
from ms_impl.nets.training import freeze_affine

_HEADS = {"segformer": SegFormerHead, "daformer": DAFormerHead}


class MitSegmenter(nn.Cell):
    """Encoder ``backbone`` and decoder ``decode_head``, named as in DAFormer's checkpoints."""

    HEADS = ("decode_head.",)
    AUXILIARY = None  # no auxiliary logits in the output
    FEATURE = -2  # place in the output of the feature before the classifier

    def __init__(self, config: Any, classes: int) -> None:
        """Build.

        Args:
            config: Of class ``common.networks.mit.MitConfig``.
            classes: Number of classes.
        """
        super().__init__()
        self.backbone = MixTransformer(config)
        head, channels = _HEADS[config.head], config.decoder_channels
        self.decode_head = head(config.channels, channels, classes, config.dropout, config.activation)
        self.freeze_bn_stats, self._paths = config.freeze_bn_stats, config.path_draws
        self.feature_channels = channels
        if config.freeze_bn_affine:
            freeze_affine(self)

    def blocks(self) -> list[nn.Cell]:
        """Return the transformer blocks in order."""
        return self.backbone.blocks()

    def construct(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return (concatenated embeddings, fused feature, logits) at stride 4.

        Args:
            images: (N, 3, H, W) float32, normalised.
            noise: (N, ``config.draws``) float32 in [0, 1) for stochastic depth and dropout; None drops nothing.
        """
        if noise is None:
            return self.decode_head(self.backbone(images))
        return self.decode_head(self.backbone(images, noise[:, : self._paths]), noise[:, self._paths :])
