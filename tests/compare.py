"""A comparison that says where two arrays part."""

from dataclasses import dataclass

import numpy as np

from tests.tolerances import FLOOR_FACTOR, FLOOR_SLACK


@dataclass(frozen=True)
class Measured:
    """One comparison: the largest error, relative to the largest magnitude, and what was allowed."""

    error: float
    tolerance: float

    def nearness(self) -> float:
        """Return the error as a share of what was allowed; 0 where equality was asked for and found."""
        return self.error / self.tolerance if self.tolerance else float(self.error > 0)

    def __str__(self) -> str:
        return f"{self.error:.1e}"


MEASURED: list[Measured] = []  # every comparison of this process, for scripts/ladder.py


def assert_close(name: str, got, want, tol: float) -> None:
    """Fail unless max|got - want| <= tol * max|want|; NaN must sit in the same places.

    Args:
        name: What is compared; begins the message.
        got: Any array.
        want: Array of the same shape.
        tol: Relative to the largest magnitude of ``want``; 0 asks for equality.
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, want {want.shape}"
    assert np.array_equal(np.isnan(got), np.isnan(want)), f"{name}: NaN in other places"
    if got.size == 0:
        return
    gap, scale = np.abs(np.nan_to_num(got) - np.nan_to_num(want)), max(np.nanmax(np.abs(want)), 1e-30)
    at = np.unravel_index(gap.argmax(), gap.shape)
    MEASURED.append(Measured(float(gap.max() / scale), tol))
    norm = np.linalg.norm(gap) / max(np.linalg.norm(np.nan_to_num(want)), 1e-30)
    where = f"at {tuple(map(int, at))}: {got[at]:.9g}, want {want[at]:.9g}; norm {norm:.1e}"
    assert gap.max() <= tol * scale, f"{name}: {gap.max() / scale:.1e} > {tol:.0e} {where}"


def assert_change(name: str, got, want, start, tol: float) -> None:
    """Fail unless the changes since ``start`` agree: max|got - want| <= tol * max|want - start| + a unit in last place.

    The unit is that of the largest element of ``want`` in its dtype, which cannot hold a small change any finer.
    """
    largest = np.abs(want).max(initial=np.zeros((), want.dtype))
    unit = float(np.spacing(largest)) if want.dtype.kind == "f" else 0.0
    got, want, start = (np.asarray(array, np.float64) for array in (got, want, start))
    assert got.shape == want.shape, f"{name}: shape {got.shape}, want {want.shape}"
    gap, change = np.abs(got - want).max(initial=0.0), max(np.abs(want - start).max(initial=0.0), 1e-30)
    MEASURED.append(Measured(float(max(gap - unit, 0.0) / change), tol))
    assert gap <= tol * change + unit, f"{name}: {gap / change:.1e} > {tol:.0e} + {unit / change:.1e} of its dtype"


def assert_beside_noise(name: str, got, want, narrow, tol: float, factor: float) -> None:
    """Fail unless max|got - want| <= tol * max|want| + factor * max|narrow - want|.

    Args:
        name: What is compared; begins the message.
        got: Any array.
        want: The same in float64.
        narrow: The same by a reference implementation in float32; its distance from ``want`` is the noise.
        tol: Relative to the largest magnitude of ``want``.
        factor: How many times the noise is allowed.
    """
    gap, noise, scale = np.abs(got - want).max(), np.abs(narrow - want).max(), max(np.abs(want).max(), 1e-30)
    MEASURED.append(Measured(float(gap / scale), float(tol + factor * noise / scale)))
    assert gap <= tol * scale + factor * noise, f"{name}: {gap / scale:.1e}, float32 itself {noise / scale:.1e}"


def assert_within_floor(name: str, got, want, floor: float) -> None:
    """Fail unless ||got - want|| <= FLOOR_FACTOR * floor + FLOOR_SLACK * ||want||: networks with kinks, which may flip.

    Args:
        name: What is compared; begins the message.
        got: Any array.
        want: Array of the same shape.
        floor: Distance of PyTorch in float32 from itself in float64.
    """
    gap, scale = float(np.linalg.norm(got - want)), max(float(np.linalg.norm(want)), 1e-30)
    bound = FLOOR_FACTOR * floor + FLOOR_SLACK * scale
    MEASURED.append(Measured(gap / scale, bound / scale))
    assert gap <= bound, f"{name}: {gap / scale:.1e}, torch {floor / scale:.1e}"
