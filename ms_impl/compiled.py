"""Compiling a function for the shapes that keep coming back."""

from collections.abc import Callable
from typing import Any

import mindspore
from mindspore import Tensor

_MOST = 8  # sets of shapes; a data set whose images all differ would be compiled without end


class Compiled:
    """A function of tensors, compiled for the first few sets of shapes and run op by op for all others."""

    def __init__(self, function: Callable[..., Any], enabled: bool) -> None:
        """Wrap.

        Args:
            function: Takes tensors, numbers or None.
            enabled: False runs op by op always.
        """
        self._plain = function
        self._compiled = mindspore.jit(function) if enabled else function
        self._enabled, self._seen = enabled, set()

    def __call__(self, *args: Tensor | float | None) -> Any:
        """Call the function."""
        key = tuple((tuple(one.shape), one.dtype) if isinstance(one, Tensor) else one is None for one in args)
        if self._enabled and (key in self._seen or len(self._seen) < _MOST):
            self._seen.add(key)
            return self._compiled(*args)
        return self._plain(*args)
