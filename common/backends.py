"""Opening a backend by name, so that nothing imports a framework before it is asked for."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from common.errors import UserError

BACKENDS = {"torch": "torch_impl.backend", "mindspore": "ms_impl.backend"}
SUFFIXES = {"torch": ".pth", "mindspore": ".ckpt"}  # of the files that each framework reads and writes
INSTALL = {"torch": "torch==2.13.0", "mindspore": "mindspore==2.10.0"}  # as in requirements.txt


def open_backend(name: str, **options: Any) -> Any:
    """Import a twin and return its backend.

    Args:
        name: ``"torch"`` or ``"mindspore"``.
        options: Arguments of the twin's ``Backend``, for example ``device="cpu"``.
    Raises:
        UserError: If there is no such backend, its framework is not installed or does not load, or the device is not
            there.
    """
    if name not in BACKENDS:
        raise UserError(f"no backend {name!r}; there are: {', '.join(BACKENDS)}")
    if not installed(name):
        raise UserError(f"backend {name}: the package {name} is not installed. Run: pip install {INSTALL[name]}")
    try:
        module = import_module(BACKENDS[name])
    except (ImportError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"backend {name}: {reason}. Run: pip install --force-reinstall {INSTALL[name]}") from error
    return module.Backend(**options)


def installed(name: str) -> bool:
    """Return whether a backend's framework is installed, without importing it."""
    try:
        return find_spec(name) is not None
    except ValueError:  # a module that stands in sys.modules without a specification
        return False
