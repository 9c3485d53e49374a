"""Plain values of a checkpoint as JSON, without loss: what stands beside the tensors travels in the note.

JSON knows no tuples, bytes, NumPy scalars or keys other than text; each is an object with one key that
begins with ``$``. Tensors are left behind under a path and leave ``{"$tensor": path}`` in their place;
only scalars travel inside.
"""

import math
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from common.errors import UserError
from convert.formats.pickle_machine import printable


def encode(value, tensors: dict[str, np.ndarray], path: str = ""):
    """Return ``value`` as JSON values.

    Args:
        value: Nested dicts, lists, tuples of arrays and plain values.
        tensors: Gains the arrays found, each under its path: ``path/key/0``.
        path: Where the value stands.
    Raises:
        UserError: If a value is none of these.
    """
    if isinstance(value, np.ndarray):
        if value.ndim == 0 and value.dtype.kind in _INLINE:
            return inline(value)  # counters
        if path in tensors:
            raise UserError(f"ambiguous: two values of the checkpoint have the path {printable(path)}")
        tensors[path] = value
        return {"$tensor": path}
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, np.generic) else _encode_numpy(value)
    if isinstance(value, np.generic):
        return _encode_numpy(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, complex):
        return {"$complex": [value.real, value.imag]}
    if isinstance(value, (bytes, bytearray)):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, Mapping):
        return _encode_dict(value, tensors, path)
    if isinstance(value, (list, tuple)):
        items = [encode(item, tensors, _below(path, index)) for index, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    raise UserError(f"{printable(path) or 'the checkpoint'}: a {type(value).__name__} cannot be converted")


def inline(array: np.ndarray) -> dict:
    """Return a small array as a JSON value."""
    name = array.dtype.name if array.dtype.name in _EXTENDED else array.dtype.str
    return {"$array": [name, list(array.shape), array.tobytes().hex()]}


def decode(value, tensors: Mapping[str, np.ndarray]):
    """Undo ``encode``; a tensor that is gone becomes None."""
    if isinstance(value, list):
        return [decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        kind, content = next(iter(value.items()))
        if kind in _DECODERS:
            return _DECODERS[kind](content, tensors)
    return {key: decode(item, tensors) for key, item in value.items()}


def paths(value) -> list[str]:
    """Return the paths of the tensors that an encoded value refers to."""
    if isinstance(value, list):
        return [path for item in value for path in paths(item)]
    if not isinstance(value, dict):
        return []
    if set(value) == {"$tensor"}:
        return [value["$tensor"]]
    return [path for item in value.values() for path in paths(item)]


def _encode_dict(value: Mapping, tensors: dict[str, np.ndarray], path: str):
    pairs = [(key, encode(item, tensors, _below(path, key))) for key, item in value.items()]
    if all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
        return dict(pairs)
    return {"$dict": [[encode(key, {}, path), item] for key, item in pairs]}


def _encode_numpy(value: np.generic) -> dict:
    if value.dtype.kind in "SU":
        return {"$numpy": [value.dtype.str, value.item() if value.dtype.kind == "U" else value.item().hex()]}
    return {"$numpy": [value.dtype.str, value.tobytes().hex()]}


def _decode_numpy(content, _) -> np.generic:
    dtype, text = np.dtype(content[0]), content[1]
    if dtype.kind == "U":
        return np.str_(text)
    raw = bytes.fromhex(text)
    return np.bytes_(raw) if dtype.kind == "S" else np.frombuffer(raw, dtype)[0]


def _decode_array(content, _) -> np.ndarray:
    name, shape, text = content
    dtype = _EXTENDED[name] if name in _EXTENDED else np.dtype(name)
    return np.frombuffer(bytes.fromhex(text), dtype).reshape(shape)


def _below(path: str, key) -> str:
    return f"{path}/{key}" if path else str(key)


_INLINE = "biufc"
_EXTENDED = {
    np.dtype(kind).name: np.dtype(kind)
    for kind in (
        ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2,
        ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2fnuz,
    )
}  # fmt: skip
_DECODERS = {
    "$tensor": lambda content, tensors: tensors.get(content),
    "$tuple": lambda content, tensors: tuple(decode(item, tensors) for item in content),
    "$dict": lambda content, tensors: {decode(key, {}): decode(item, tensors) for key, item in content},
    "$bytes": lambda content, _: bytes.fromhex(content),
    "$float": lambda content, _: float(content),
    "$complex": lambda content, _: complex(*content),
    "$numpy": _decode_numpy,
    "$array": _decode_array,
}
