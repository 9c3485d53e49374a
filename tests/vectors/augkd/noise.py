"""How near a train step has to come to the official float64 run: the rule of the ladder, with float32's noise measured.

``||got - want|| <= 5 x noise + 1e-5 ||want||``. The noise is first the distance of the file's own float32 run. One run
may have been lucky: where a ReLU of a deep teacher stands within rounding of its kink, the next run has it on the other
side, gradients part by a percent, and Adam turns signs of small ones into whole steps. So what misses the first bound
is held to the second: the largest distance of several float32 runs of the PyTorch twin whose weights are moved by two
units in the last place, which float32 hardly tells apart. No bound reaches ``MOST``: what has not moved always misses.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from common.backends import open_backend
from tests.tolerances import FLOOR_FACTOR, FLOOR_SLACK
from tests.vectors import Check, Vector
from tests.vectors.augkd.reading import meta_of

RUNS = 8  # float32 runs that measure the noise
MOST = 0.9  # of what is compared


@dataclass(frozen=True)
class Found:
    """What a run has come to.

    Attributes:
        name: Of the file's array, without ``f64:``.
        value: Whole; the file may hold a part of it.
        before: Of a parameter after some steps, its value before them: its change is what counts.
    """

    name: str
    value: np.ndarray
    before: np.ndarray | None = None


Loop = Callable[[Vector, object, int | None], Iterator[Check | Found]]  # the last argument: seed of ``shaken``


class Reference:
    """What a file says of its arrays."""

    def __init__(self, vector: Vector):
        """Read."""
        meta = meta_of(vector)
        self.arrays = vector.arrays
        self.floors, self.slices = meta["float32_vs_float64_maxdiff_and_maxabs"], meta.get("slices", {})

    def names(self, begin: str) -> list[str]:
        """Return the arrays whose names begin so, each once."""
        names = {name.removeprefix("f64:") for name in self.arrays}
        return sorted(name for name in names if name.startswith(begin))

    def want(self, name: str) -> np.ndarray:
        """Return the official float64 result."""
        return self.arrays[f"f64:{name}"].astype(np.float64)

    def part(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return the part of a parameter or gradient that the file holds; other arrays are there whole."""
        head, *places = name.split(":")
        if head != "grad1" and not head.startswith("after"):
            return np.asarray(value)
        chosen = self.slices
        for place in places:
            chosen = chosen.get(place, "all") if isinstance(chosen, dict) else chosen
        return value if chosen == "all" else value[tuple(slice(None, None, step) for step in chosen)]

    def distance(self, found: Found) -> float:
        """Return the distance from the float64 run, in the norm."""
        gap = self.part(found.name, found.value).astype(np.float64) - self.want(found.name)
        return float(np.linalg.norm(gap.reshape(-1)))

    def check(self, found: Found, noise: float | None = None) -> Check:
        """Return the check of a result: by the file's own float32 run, or by a noise that was measured.

        Of a parameter after some steps the file has the largest distance of a single element, which bounds each.
        """
        got, want = self.part(found.name, found.value).astype(np.float64), self.want(found.name)
        if found.before is not None:
            before = self.part(found.name, found.before).astype(np.float64)
            got, want = got - before, want - before
        if noise is None and found.name not in self.arrays:
            tol = FLOOR_FACTOR * self.floors[found.name][0] + FLOOR_SLACK * float(np.abs(want).max())
            return Check(found.name, got, want, tol, "absolute")
        if noise is None:
            noise = float(np.linalg.norm((self.arrays[found.name] - self.want(found.name)).reshape(-1)))
        size = max(float(np.linalg.norm(want.reshape(-1))), 1e-30)
        return Check(found.name, got, want, min(FLOOR_FACTOR * noise / size + FLOOR_SLACK, MOST), "norm")


def runner(loop: Loop) -> Callable[[Vector, object], Iterator[Check]]:
    """Return the runner of a loop of train steps: the results of one run, each by the rule above."""

    def run(vector: Vector, backend) -> Iterator[Check]:
        reference, found = Reference(vector), []
        for one in loop(vector, backend, None):
            if isinstance(one, Check):
                yield one
            else:
                found.append(one)
        checks = [reference.check(one) for one in found]
        missed = {one.name for one, check in zip(found, checks) if not check.error() <= check.tol}
        noise = measured(vector, reference, loop, missed) if missed else {}
        for one, check in zip(found, checks):
            yield reference.check(one, noise[one.name]) if one.name in noise else check

    return run


def measured(vector: Vector, reference: Reference, loop: Loop, names: set[str]) -> dict[str, float]:
    """Return the largest distance of PyTorch's float32 runs for each of some arrays; nothing where PyTorch is not."""
    try:
        backend = open_backend("torch", device="cpu", compile=False)
    except ImportError:
        return {}
    noise = dict.fromkeys(names, 0.0)
    for seed in range(RUNS):
        for one in loop(vector, backend, seed):
            if isinstance(one, Found) and one.name in names:
                noise[one.name] = max(noise[one.name], reference.distance(one))
    return noise
