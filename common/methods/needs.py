"""What a method needs of its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from common.config import Config


def need_data(config: Config, who: str, *roles: str) -> None:
    """Refuse a configuration that names no images for one of some roles.

    Args:
        config: The configuration.
        who: What needs them, for example "method ddm".
        roles: Names in the section ``data``.
    Raises:
        UserError: Naming the configuration, who needs the images, and the first role that is missing.
    """
    for role in roles:
        if getattr(config.data, role) is None:
            raise UserError(f"{config.name}: {who} needs data.{role}; the configuration does not set it")
