"""Plain values out of a pickle that is no checkpoint, such as a data set's index; nothing in it is executed."""

from pathlib import Path
from typing import Any

from common.errors import UserError
from convert.formats.pickle_machine import PickleError, load
from convert.formats.pickle_rules import rules
from convert.formats.pickle_values import TensorRef, plain


def read_values(path: Path) -> Any:
    """Return what a pickle holds: texts, numbers, lists, dictionaries and NumPy arrays; Python 2's texts as latin-1.

    Raises:
        UserError: If the file is missing, damaged, or holds anything else.
    """
    try:
        with path.open("rb") as stream:
            return plain(load(stream, rules()), _no_tensor)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except PickleError as error:
        raise UserError(f"{path}: {error}") from None


def _no_tensor(_: TensorRef) -> None:
    raise PickleError("it holds tensors; such a file is a checkpoint")
