"""What a checkpoint's pickle may contain: the allow-list and our own constructors behind it.

The table ``CALLS`` maps a name to our constructor. Nothing in it imports the named module, touches the
system or runs a class of someone else. Tensors become ``TensorRef``, resolved to arrays by the file
format that knows where the storages lie.
"""

import re
from collections.abc import Callable

import ml_dtypes
import numpy as np

from convert.formats.pickle_machine import Name, PickleError, Rules, hashable, printable, set_items
from convert.formats.pickle_values import NumpyArray, NumpyDtype, Record, StorageRef, TensorRef

STORAGES: dict[str, type] = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "ByteStorage": np.uint8, "CharStorage": np.int8,
    "ShortStorage": np.int16, "IntStorage": np.int32, "LongStorage": np.int64, "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64, "ComplexDoubleStorage": np.complex128,
}  # fmt: skip
# dtypes without a storage class of their own: saved as an untyped storage and the dtype beside it
NEWER_DTYPES: dict[str, type] = {
    "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64, "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2, "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
}  # fmt: skip
_DTYPES = NEWER_DTYPES | {
    "float32": np.float32, "float": np.float32, "float64": np.float64, "double": np.float64, "float16": np.float16,
    "half": np.float16, "bfloat16": ml_dtypes.bfloat16, "uint8": np.uint8, "int8": np.int8, "int16": np.int16,
    "short": np.int16, "int32": np.int32, "int": np.int32, "int64": np.int64, "long": np.int64, "bool": np.bool_,
    "complex64": np.complex64, "complex128": np.complex128,
}  # fmt: skip
_NUMPY_DTYPE = re.compile(r"[<>|=]?(?:[biufc]\d{1,2}|[SU]\d{1,6}|\?)")
# configuration objects that research code leaves in checkpoints: kept as records of their fields, never made
_RECORDS = {
    "argparse.Namespace", "types.SimpleNamespace", "easydict.EasyDict", "yacs.config.CfgNode", "addict.addict.Dict",
    "mmcv.utils.config.ConfigDict", "mmengine.config.config.ConfigDict", "attrdict.dictionary.AttrDict",
    "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath", "pathlib.PureWindowsPath",
    "datetime.datetime", "datetime.date", "datetime.timedelta", "builtins.object",
}  # fmt: skip
_TENSOR_TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}
_BARE = _TENSOR_TYPES | {  # allowed as a value, never called
    "builtins.bool", "builtins.float", "builtins.int", "builtins.str", "numpy.ndarray", "torch.strided",
    "torch.contiguous_format", "torch.storage.UntypedStorage", "torch.UntypedStorage",
}  # fmt: skip


def rules() -> Rules:
    """Return the machine's rules for checkpoints."""
    return Rules(known=is_known, call=_call, build=_build, persistent=_persistent)


def is_known(name: Name) -> bool:
    """Return whether a checkpoint may name this global; everything else is refused."""
    if str(name) in CALLS or str(name) in _RECORDS or str(name) in _BARE:
        return True
    if name.module in ("torch", "torch.cuda", "torch.storage") and name.name in STORAGES:
        return True
    return name.module == "torch" and name.name in _DTYPES


def _call(name: Name, arguments: tuple):
    text = str(name)
    if text in CALLS:
        return CALLS[text](*arguments)
    if text in _RECORDS:
        return Record(text, *arguments)
    raise PickleError(f"its pickle calls {printable(text)}, which is only allowed as a name")


def _build(target, state) -> None:
    if isinstance(target, NumpyDtype):
        target.order = state[1] if state[1] in ("<", ">") else "="
    elif isinstance(target, NumpyArray):
        _, shape, dtype, fortran, content = state
        target.value = _numpy_array(content, dtype, shape, "F" if fortran else "C")
    elif isinstance(target, Record):
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                target.update(part)
    elif not isinstance(target, (dict, TensorRef)):  # an OrderedDict's own attributes (_metadata) carry no tensors
        raise PickleError(f"its pickle sets the state of a {type(target).__name__}")


def _persistent(identity) -> StorageRef:
    kind = _text(identity[0]) if isinstance(identity, tuple) and len(identity) >= 5 else ""
    if kind == "module":
        raise PickleError("it holds a whole pickled network; save its state_dict() instead")
    if kind != "storage":
        raise PickleError("its pickle refers to an object outside of it that is no tensor storage")
    _, storage, key, _, numel, *rest = identity
    if not isinstance(storage, Name) or not isinstance(key, (str, bytes, int)):
        raise PickleError("its pickle is damaged (a storage without a type or key)")
    view = rest[0] if rest else None
    if view is not None:
        view = (_count(view[1]), _count(view[2]))
    if storage.name != "UntypedStorage" and storage.name not in STORAGES:
        raise PickleError(f"a tensor has the storage {printable(str(storage))}, which cannot be converted")
    dtype = np.dtype(STORAGES[storage.name]) if storage.name in STORAGES else None
    return StorageRef(_text(key), dtype, _count(numel), view)


# -- constructors
def _tensor(storage, offset, shape, strides, *rest) -> TensorRef:
    """Rebuild v1 and v2: (storage, offset, size, stride[, requires_grad, hooks, metadata])."""
    flags = [str(key) for key, on in rest[2].items() if on] if len(rest) > 2 and rest[2] else []
    if flags:
        raise PickleError(f"a tensor is saved with the flag {printable(', '.join(flags))}; save its .clone() instead")
    return _checked(storage, getattr(storage, "dtype", None) or np.dtype(np.uint8), offset, shape, strides)


def _tensor_v3(storage, offset, shape, strides, _grad, _hooks, dtype, *_metadata) -> TensorRef:
    """Rebuild v3: an untyped storage and the dtype beside it."""
    if not isinstance(dtype, Name) or dtype.name not in _DTYPES:
        raise PickleError(f"a tensor has the dtype {printable(str(dtype))}, which cannot be converted")
    return _checked(storage, np.dtype(_DTYPES[dtype.name]), offset, shape, strides)


def _checked(storage, dtype: np.dtype, offset, shape, strides) -> TensorRef:
    if not isinstance(storage, StorageRef):
        raise PickleError("its pickle is damaged (a tensor without a storage)")
    shape, strides = tuple(map(_count, shape)), tuple(map(_count, strides))
    if len(shape) != len(strides) or len(shape) > 32:
        raise PickleError(f"a tensor has {len(shape)} sizes and {len(strides)} strides (at most 32 axes)")
    return TensorRef(storage, dtype, _count(offset), shape, strides)


def _parameter(data, *_):
    if not isinstance(data, (TensorRef, NumpyArray)):
        raise PickleError("its pickle is damaged (a parameter without a tensor)")
    return data


def _from_type(function, kind, arguments, _state):
    """A tensor of a subclass: only plain tensors, parameters and buffers are data and nothing else."""
    if not isinstance(kind, Name) or str(kind) not in _TENSOR_TYPES or not isinstance(function, Name):
        raise PickleError(f"a tensor has the type {printable(str(kind))}, which cannot be converted")
    return _call(function, arguments)


def _unconvertible(what: str) -> Callable:
    def refuse(*_):
        raise PickleError(f"it holds {what}, which cannot be converted")

    return refuse


def _numpy_array(content, dtype, shape, order: str = "C") -> np.ndarray:
    if not isinstance(dtype, NumpyDtype):
        raise PickleError("its pickle is damaged (a NumPy array without a dtype)")
    if isinstance(content, str):
        content = content.encode("latin-1")  # written by Python 2
    if not isinstance(content, (bytes, bytearray)):
        raise PickleError("it holds a NumPy array of objects, which cannot be converted")
    array = np.frombuffer(content, dtype.dtype()).reshape(tuple(map(_count, shape)), order=order)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _numpy_dtype(code, *_) -> NumpyDtype:
    if not isinstance(code, str) or not _NUMPY_DTYPE.fullmatch(code):
        raise PickleError(f"it holds a NumPy value of the dtype {printable(str(code))}, which cannot be converted")
    return NumpyDtype(code)


def _dictionary(*arguments) -> dict:
    """OrderedDict, dict, Counter: nothing, a mapping, or pairs."""
    result: dict = {}
    for items in arguments:
        for key, value in items.items() if isinstance(items, dict) else items:
            set_items(result, [key, value])
    return result


def _bytes(text="", encoding="latin-1") -> bytes:
    if isinstance(text, (bytes, bytearray)):
        return bytes(text)
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise PickleError("its pickle is damaged (bytes made of something else than text)")
    return text.encode(encoding)


def _reconstruct(kind, _base=None, state=None):
    """``copyreg._reconstructor(class, base, state)`` of protocols 0 and 1; the state is that of a dict or None."""
    if not isinstance(kind, Name):
        raise PickleError("its pickle is damaged (an object without a class)")
    made = _call(kind, ())
    if isinstance(made, dict) and isinstance(state, dict):
        made.update(state)
    return made


def _count(value) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**48:
        raise PickleError(f"a tensor has the size, stride or offset {printable(str(value), 30)}")
    return value


def _text(value) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _dictionary,
    "collections.Counter": _dictionary,
    "collections.defaultdict": lambda _factory=None, *items: _dictionary(*items),
    "builtins.dict": _dictionary,
    "builtins.set": lambda items=(): set(map(hashable, items)),
    "builtins.frozenset": lambda items=(): frozenset(map(hashable, items)),
    "builtins.list": lambda items=(): list(items),
    "builtins.tuple": lambda items=(): tuple(items),
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "builtins.complex": lambda real, imaginary=0.0: complex(real, imaginary),
    "builtins.slice": lambda *arguments: arguments,
    "_codecs.encode": _bytes,
    "copyreg._reconstructor": _reconstruct,
    "numpy.core.multiarray._reconstruct": lambda *_: NumpyArray(),
    "numpy.core.multiarray.scalar": lambda dtype, content: _numpy_array(content, dtype, ())[()],
    "numpy.core.numeric._frombuffer": lambda content, dtype, shape, order="C": NumpyArray(
        _numpy_array(content, dtype, shape, "F" if order == "F" else "C")
    ),
    "numpy.dtype": _numpy_dtype,
    "utils.trainer.Stage": lambda value="": str(value),  # AuG-KD leaves a member of its own enumeration in files
    "torch.Size": lambda sizes=(): tuple(map(_count, sizes)),
    "torch.device": lambda *place: ":".join(map(str, place)),
    "torch.serialization._get_layout": lambda layout: layout,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_device_tensor_from_numpy": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch._utils._rebuild_sparse_tensor": _unconvertible("a sparse tensor"),
    "torch._utils._rebuild_qtensor": _unconvertible("a quantised tensor"),
    "torch._utils._rebuild_nested_tensor": _unconvertible("a nested tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unconvertible("a tensor without content (device meta)"),
}
