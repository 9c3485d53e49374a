"""AuG-KD's own networks: generator, encoder, anchor network. Teachers and students have torchvision's layouts.

``df_stat_ckpt.pt`` of module 1 holds several networks: ``--section decoder`` (the generator), ``encoder``, ``student``.
``anchor_stat_ckpt.pt`` and ``distill_stat_ckpt.pt`` hold one, under ``state_dict``.
"""

from convert.layouts.layout import Layout, Shapes
from convert.layouts.residual import norm, with_bias

_LATENT, _CLASSES = 100, 31  # where the file does not tell


def _conv(path: str, shape: tuple[int, ...], bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Return a convolution or a linear layer."""
    return with_bias(path, shape) if bias else {f"{path}.weight": shape}


def generator(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what a generator holds; latent vector, size of the image and width are the file's own."""
    outputs, inputs = shapes.get("embed.0.weight") or (256 * 64, _LATENT)
    wide = (shapes.get("embed.2.weight") or (256,))[0]
    result = {**_conv("embed.0", (outputs, inputs)), **norm("embed.2", wide)}
    result |= {**_conv("decoder.1", (wide // 2, wide, 3, 3), False), **norm("decoder.2", wide // 2)}
    result |= {**_conv("decoder.5", (wide // 4, wide // 2, 3, 3), False), **norm("decoder.6", wide // 4)}
    return {**result, **_conv("decoder.8", (3, wide // 4, 3, 3))}


def encoder(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what an encoder holds; latent vector, size of the image, classes and width are the file's own."""
    pixels, classes = shapes.get("embed_class.0.weight") or (32 * 32, _CLASSES)
    narrow = (shapes.get("encoder.2.1.weight") or (64,))[0]
    latent = (shapes.get("fc_mu.bias") or (_LATENT,))[0]
    result = {**_conv("embed_class.0", (pixels, classes)), **_conv("embed_data", (3, 3, 1, 1)), **norm("encoder.0", 4)}
    for path, inputs, outputs in (("2", 4, narrow), ("4", narrow, 2 * narrow), ("5", 2 * narrow, 4 * narrow)):
        result |= _conv(f"encoder.{path}.0", (outputs, inputs, 3, 3), bias=path == "5")
        result |= norm(f"encoder.{path}.1", outputs)
    hidden = 4 * narrow * (pixels // 16)
    return {**result, **_conv("fc_mu", (latent, hidden)), **_conv("fc_var", (latent, hidden))}


def anchor(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return what an anchor network holds; latent vector and classes are the file's own."""
    latent, classes = shapes.get("embed_class.weight") or (_LATENT, _CLASSES)
    result = _conv("embed_class", (latent, classes))
    for index in range(3):
        result |= _conv(f"mask.{index}", (latent, latent))
    result |= norm("mask.3", latent)
    for index, inputs, outputs in ((1, 1, 4), (4, 4, 8), (7, 8, 4)):
        result |= {**_conv(f"module.{index}", (outputs, inputs, 3)), **norm(f"module.{index + 1}", outputs)}
    return {**result, **_conv("module.11", (latent, 4 * latent))}


GENERATOR = Layout(
    name="augkd-generator",
    title="AuG-KD's generator (--section decoder of df_stat_ckpt.pt)",
    framework="torch",
    expected=generator,
)
ENCODER = Layout(
    name="augkd-encoder",
    title="AuG-KD's encoder (--section encoder of df_stat_ckpt.pt)",
    framework="torch",
    expected=encoder,
)
ANCHOR = Layout(
    name="augkd-anchor",
    title="AuG-KD's anchor network (anchor_ckpt.pt, anchor_stat_ckpt.pt)",
    framework="torch",
    prefixes=(),  # its own names begin with "module."
    expected=anchor,
)
