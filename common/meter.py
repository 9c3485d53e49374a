"""Means of a step's losses and times over an interval, without waiting for the device at every step."""

import math
import time
from collections.abc import Mapping
from typing import Any

from common.errors import UserError


class Meter:
    """Sums losses where they are computed and reads the sums only when asked.

    A loss that is not finite stays visible in its sum, so nothing is missed between two readings.
    """

    def __init__(self, backend: Any, saved: dict | None = None):
        """Begin empty, or where ``saved`` (from ``state``) left off."""
        self._backend = backend
        self._on_device: dict[str, Any] = {}
        self._sums: dict[str, float] = dict(saved["sums"]) if saved else {}
        self._count: int = saved["count"] if saved else 0

    def add(self, losses: Mapping[str, Any]) -> None:
        """Add the device scalars of one step; every step has the same names."""
        for name, value in losses.items():
            self._on_device[name] = self._on_device[name] + value if name in self._on_device else value
        self._count += 1

    def check(self, place: str) -> None:
        """Read the device's sums.

        Raises:
            UserError: If one is not finite; names all losses and ``place`` (stage and step).
        """
        read = {name: float(self._backend.numpy(value)) for name, value in self._on_device.items()}
        self._on_device.clear()
        if not all(map(math.isfinite, read.values())):
            listed = ", ".join(f"{name} {'finite' if math.isfinite(v) else v}" for name, v in read.items())
            raise UserError(f"{place}: a loss is not finite: {listed}; try a lower optim.lr, or set optim.clip")
        for name, value in read.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Return the mean of each loss since the last call, over all ranks, and begin anew; call ``check`` first."""
        means = {name: value / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        return self._backend.average(means) if self._backend.world > 1 else means

    def state(self) -> dict:
        """Return what ``Meter(backend, saved)`` needs to go on; call ``check`` first."""
        return {"sums": self._sums, "count": self._count}


class Clock:
    """Seconds a step, and the part of them spent waiting for data; evaluations and checkpoints do not count."""

    def __init__(self) -> None:
        self._mark = time.perf_counter()
        self._seconds: dict[str, float] = {}

    def lap(self, kind: str) -> None:
        """Count the time since the last call as ``kind``: "data", "step", or anything else that is not reported."""
        now = time.perf_counter()
        self._seconds[kind] = self._seconds.get(kind, 0.0) + now - self._mark
        self._mark = now

    def take(self, steps: int) -> tuple[float, float]:
        """Return (seconds, data seconds) a step over the last ``steps`` steps, and begin anew."""
        data = self._seconds.get("data", 0.0) / steps
        step = self._seconds.get("step", 0.0) / steps
        self._seconds.clear()
        return data + step, data
