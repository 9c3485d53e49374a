"""Inert values that stand for the tensors, arrays and objects of a pickle, and the way to plain Python from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from convert.formats.pickle_machine import Name, PickleError

MAX_DEPTH = 64  # nesting of dicts and lists in a checkpoint


class Record(dict):
    """The fields of a configuration object of class ``name``, in order."""

    def __init__(self, name: str, *positional):
        super().__init__({"args": positional} if positional else {})
        self.name = name


@dataclass
class NumpyDtype:
    """A pickled ``numpy.dtype``; its byte order arrives after it was made."""

    code: str
    order: str = "="

    def dtype(self) -> np.dtype:
        """Return the dtype in its own byte order."""
        return np.dtype(self.code.lstrip("<>|=")).newbyteorder(self.order)


@dataclass
class NumpyArray:
    """A pickled ``numpy.ndarray``; its content arrives after it was made."""

    value: np.ndarray | None = None


@dataclass(frozen=True)
class StorageRef:
    """A storage by its key: ``numel`` elements of ``dtype``, or bytes when ``dtype`` is None (untyped)."""

    key: str
    dtype: np.dtype | None
    numel: int
    view: tuple[int, int] | None = None  # (offset, size) within the storage; only in old files

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize if self.dtype is not None else 1


@dataclass(frozen=True)
class TensorRef:
    """A tensor as a strided view of a storage; offset and strides count elements."""

    storage: StorageRef
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor when written without gaps or sharing."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def reach(self) -> int:
        """Elements of the storage up to and with the last one that the view touches; 0 when it is empty."""
        if 0 in self.shape:
            return 0
        return self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides)) + 1


def plain(value, tensor: Callable[[TensorRef], object]):
    """Return ``value`` with its stand-ins replaced: tensors by ``tensor(ref)``, NumPy values by arrays, names by text.

    Containers that were shared stay shared, so a small file cannot unfold into a huge tree here.

    Raises:
        PickleError: If the containers nest deeper than ``MAX_DEPTH`` or contain themselves.
    """
    return _Plainer(tensor).visit(value, 0)


@dataclass
class _Plainer:
    tensor: Callable[[TensorRef], object]
    seen: dict[int, tuple] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def visit(self, value, depth: int):
        if isinstance(value, NumpyArray):
            if value.value is None:
                raise PickleError("its pickle is damaged (a NumPy array without content)")
            return value.value
        if isinstance(value, Name):
            return str(value)
        if isinstance(value, NumpyDtype):
            return str(value.dtype())
        if isinstance(value, StorageRef):
            value = TensorRef(value, value.dtype or np.dtype(np.uint8), 0, (value.numel,), (1,))
        if isinstance(value, (TensorRef, dict, list, tuple, set, frozenset)):
            return self.shared(value, depth)
        return value

    def shared(self, value, depth: int):
        place = id(value)
        if place in self.seen:
            return self.seen[place][1]
        if depth > MAX_DEPTH or place in self.open:
            raise PickleError(f"its pickle nests deeper than {MAX_DEPTH} levels or contains itself")
        self.open.add(place)
        result = self.made(value, depth)
        self.open.discard(place)
        self.seen[place] = (value, result)  # holding the value keeps its id from being used again
        return result

    def made(self, value, depth: int):
        if isinstance(value, TensorRef):
            return self.tensor(value)
        if isinstance(value, dict):
            result = Record(value.name) if isinstance(value, Record) else {}
            result.update((str(k) if isinstance(k, Name) else k, self.visit(v, depth + 1)) for k, v in value.items())
            return result
        items = [self.visit(item, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
