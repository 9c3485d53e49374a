"""AuG-KD's networks by their role in its stages, as a configuration describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.networks.latent import AnchorConfig, EncoderConfig, GeneratorConfig

if TYPE_CHECKING:
    from common.config import Config
    from common.networks.base import NetworkBase


def networks(config: Config) -> dict[str, NetworkBase]:
    """Return role -> description: teacher, student, generator, encoder, anchor."""
    augkd = config.method
    image = {"latent": augkd.latent_size, "size": augkd.image_size, "width": augkd.latent_width}
    return {
        "teacher": augkd.teacher.network,
        "student": config.network,
        "generator": GeneratorConfig(**image),
        "encoder": EncoderConfig(**image),
        "anchor": AnchorConfig(latent=augkd.latent_size),
    }
