"""Mix Transformers B0 to B5, the encoders of SegFormer (Xie et al., NeurIPS 2021, arXiv 2105.15203)."""

from typing import Any

from mindspore import Tensor, nn

from common.networks.mit import HEADS, RATIOS, stage_blocks
from ms_impl.nets.layers import conv, gelu, layer_norm, linear, softmax
from ms_impl.nets.noise import dropped_path
from ms_impl.nets.recompute import run_block

_MAP_EPS, _TOKEN_EPS = 1e-5, 1e-6  # of norms on maps (embeddings, reductions) and on tokens, as in the official code
_EXPANSION = 4


def tokens_of(x: Tensor) -> Tensor:
    """Return (N, H * W, C) of a map (N, C, H, W)."""
    return x.reshape(x.shape[0], x.shape[1], -1).swapaxes(1, 2)


def map_of(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return the map (N, C, H, W) of (N, H * W, C)."""
    return tokens.swapaxes(1, 2).reshape(tokens.shape[0], tokens.shape[2], height, width)


class PatchEmbedding(nn.Cell):
    """Overlapping patches: a strided convolution, then LayerNorm over the channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = conv(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = layer_norm(outputs, _MAP_EPS)

    def construct(self, x: Tensor) -> tuple[Tensor, int, int]:
        """Return tokens (N, h * w, outputs), h and w of a map (N, inputs, H, W)."""
        x = self.proj(x)
        height, width = x.shape[2], x.shape[3]
        return self.norm(tokens_of(x)), height, width


class Attention(nn.Cell):
    """Multi-head self-attention whose keys and values come from a map reduced ``ratio`` times in either axis."""

    def __init__(self, channels: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.q = linear(channels, channels)
        self.kv = linear(channels, 2 * channels)
        self.proj = linear(channels, channels)
        self.sr = conv(channels, channels, ratio, ratio) if ratio > 1 else None
        self.norm = layer_norm(channels, _MAP_EPS) if ratio > 1 else None

    def construct(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens (N, height * width, C) to (N, height * width, C)."""
        count, length, channels = x.shape
        query = self.q(x).reshape(count, length, self.heads, -1).transpose(0, 2, 1, 3)
        if self.sr is not None:
            x = self.norm(tokens_of(self.sr(map_of(x, height, width))))
        pair = self.kv(x).reshape(count, -1, 2, self.heads, channels // self.heads).transpose(2, 0, 3, 1, 4)
        weight = softmax(query @ pair[0].swapaxes(2, 3) * self.scale, -1)
        return self.proj((weight @ pair[1]).transpose(0, 2, 1, 3).reshape(count, length, channels))


class DepthwiseConvolution(nn.Cell):
    """A 3x3 convolution of every channel for itself: the position code of Mix Transformers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = conv(channels, channels, 3, 1, 1, groups=channels)

    def construct(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens (N, height * width, C) to tokens of the same shape."""
        return tokens_of(self.dwconv(map_of(x, height, width)))


class MixMlp(nn.Cell):
    """Two linear layers with a depthwise convolution and GELU between them (Mix-FFN)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = linear(channels, _EXPANSION * channels)
        self.dwconv = DepthwiseConvolution(_EXPANSION * channels)
        self.fc2 = linear(_EXPANSION * channels, channels)

    def construct(self, x: Tensor, height: int, width: int) -> Tensor:
        """Map tokens (N, height * width, C) to tokens of the same shape."""
        return self.fc2(gelu(self.dwconv(self.fc1(x), height, width)))


class Block(nn.Cell):
    """A pre-norm transformer block; in training either branch of an image may be dropped (stochastic depth)."""

    def __init__(self, channels: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(channels, _TOKEN_EPS)
        self.attn = Attention(channels, heads, ratio)
        self.norm2 = layer_norm(channels, _TOKEN_EPS)
        self.mlp = MixMlp(channels)

    def construct(
        self, x: Tensor, height: int, width: int, keep_attention: Tensor | None = None, keep_mlp: Tensor | None = None
    ) -> Tensor:
        """Map tokens (N, height * width, C) to tokens of the same shape.

        Args:
            x: Tokens.
            height: Rows of the map.
            width: Columns of the map.
            keep_attention: (N, 1, 1) factor of the attention branch; None is 1.
            keep_mlp: (N, 1, 1) factor of the MLP branch; None is 1.
        """
        branch = self.attn(self.norm1(x), height, width)
        x = x + (branch if keep_attention is None else branch * keep_attention)
        branch = self.mlp(self.norm2(x), height, width)
        return x + (branch if keep_mlp is None else branch * keep_mlp)


class MixTransformer(nn.Cell):
    """Four stages of blocks at strides 4, 8, 16 and 32."""

    def __init__(self, config: Any) -> None:
        """Build.

        Args:
            config: Of class ``common.networks.mit.MitConfig``.
        """
        super().__init__()
        self.drop_path, self.depths, inputs = config.drop_path, config.stage_depths, 3
        for stage, channels in enumerate(config.channels):
            kernel, stride = (7, 4) if stage == 0 else (3, 2)
            setattr(self, f"patch_embed{stage + 1}", PatchEmbedding(inputs, channels, kernel, stride))
            blocks = [Block(channels, HEADS[stage], RATIOS[stage]) for _ in range(self.depths[stage])]
            setattr(self, f"block{stage + 1}", nn.CellList(blocks))
            setattr(self, f"norm{stage + 1}", layer_norm(channels, _TOKEN_EPS))
            inputs = channels

    def blocks(self) -> list[nn.Cell]:
        """Return the transformer blocks in order."""
        return [block for stage in (self.block1, self.block2, self.block3, self.block4) for block in stage]

    def construct(self, images: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the maps of the four stages, (N, channels, h, w) at strides 4, 8, 16, 32.

        Args:
            images: (N, 3, H, W) float32, normalised.
            noise: (N, 2 * blocks) float32 in [0, 1): decides which branches are dropped; None drops none.
        """
        places = stage_blocks(self.depths, self.drop_path)
        first = self._stage(images, self.patch_embed1, self.block1, self.norm1, places[0], noise)
        second = self._stage(first, self.patch_embed2, self.block2, self.norm2, places[1], noise)
        third = self._stage(second, self.patch_embed3, self.block3, self.norm3, places[2], noise)
        return first, second, third, self._stage(third, self.patch_embed4, self.block4, self.norm4, places[3], noise)

    def _stage(self, x: Tensor, embed: nn.Cell, blocks: nn.Cell, norm: nn.Cell, places, noise) -> Tensor:
        """Run one stage; ``places`` tells of each block its number and its probability of being dropped."""
        x, height, width = embed(x)
        for block, (number, drop) in zip(blocks, places):
            x = run_block(block, x, height, width, *dropped_path(noise, number, drop))
        return map_of(norm(x), height, width)
