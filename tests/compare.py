"""A comparison that says where two arrays part."""

import numpy as np


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
    norm = np.linalg.norm(gap) / max(np.linalg.norm(np.nan_to_num(want)), 1e-30)
    where = f"at {tuple(map(int, at))}: {got[at]:.9g}, want {want[at]:.9g}; norm {norm:.1e}"
    assert gap.max() <= tol * scale, f"{name}: {gap.max() / scale:.1e} > {tol:.0e} {where}"
