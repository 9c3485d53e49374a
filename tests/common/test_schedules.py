"""Learning rates are functions of the step alone."""

import math

import pytest

from common.schedules import cosine, group_rate, learning_rate, poly, warm_up
from common.schema import OptimConfig


def test_paper_stops_before_the_horizon() -> None:
    """After 120k of 250k steps the rate is still 1.39e-4."""
    optim = OptimConfig(lr=2.5e-4, horizon=250_000, power=0.9)
    assert learning_rate(optim, 0, 120_000) == 2.5e-4
    assert learning_rate(optim, 119_999, 120_000) == pytest.approx(1.388e-4, rel=1e-3)
    assert learning_rate(optim, 60_000, 120_000) == pytest.approx(2.5e-4 * (1 - 60 / 250) ** 0.9, rel=1e-12)


def test_short_preset_keeps_the_ratio() -> None:
    """20k steps with the horizon scaled alike end at the same rate."""
    full, short = OptimConfig(horizon=250_000), OptimConfig(horizon=41_667)
    assert learning_rate(short, 20_000, 20_000) == pytest.approx(learning_rate(full, 120_000, 120_000), rel=1e-5)


def test_horizon_is_the_stage_when_none_is_given() -> None:
    """Zero at the end, and never below."""
    optim = OptimConfig(lr=1.0)
    assert learning_rate(optim, 50, 100) == pytest.approx(0.5**0.9)
    assert learning_rate(optim, 100, 100) == 0.0 and poly(101, 100) == 0.0


def test_other_schedules() -> None:
    """Constant and half a cosine wave."""
    assert learning_rate(OptimConfig(lr=0.1, schedule="constant"), 77, 100) == 0.1
    wave = OptimConfig(lr=1.0, schedule="cosine")
    assert [learning_rate(wave, s, 100) for s in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0], abs=1e-15)
    assert cosine(25, 100) == pytest.approx(0.5 + math.sqrt(0.5) / 2) and cosine(150, 100) == 0.0


def test_warm_up_multiplies() -> None:
    """The first of four steps has a quarter, the fourth all of it."""
    optim = OptimConfig(lr=1.0, schedule="constant", warmup=4)
    assert [learning_rate(optim, s, 100) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert warm_up(0, 0) == 1.0


def test_restarts_emit_the_peak_once() -> None:
    """The last step of a wave is the floor, the first of the next the second place of its wave."""
    optim = OptimConfig(lr=1.0, schedule="cosine_restarts", horizon=4, floor=0.1)
    rates = [learning_rate(optim, step, 100) for step in range(10)]
    assert rates[0] == 1.0 and rates[4] == pytest.approx(0.1) and rates[5] == pytest.approx(rates[1])
    longer = OptimConfig(lr=1.0, schedule="cosine_restarts", horizon=4, restart_mult=2.0)
    assert learning_rate(longer, 12, 100) == pytest.approx(0.0, abs=1e-12) and learning_rate(longer, 11, 100) > 0.03
    with pytest.raises(ValueError, match="shorter than a step"):
        learning_rate(OptimConfig(lr=1.0, schedule="cosine_restarts", horizon=4, restart_mult=0.5), 40, 100)


def test_all_groups_sink_to_one_floor() -> None:
    """A floor is absolute: a tenth of the rate ends where the whole rate ends."""
    optim = OptimConfig(lr=1.0, schedule="cosine_restarts", horizon=8, floor=0.001)
    for step in (0, 3, 8):
        rate = learning_rate(optim, step, 8)
        wave = (rate - 0.001) / 0.999
        assert group_rate(optim, rate, 0.1) == pytest.approx(0.001 + 0.099 * wave)
        assert group_rate(optim, rate, 1.0, base=5.0) == pytest.approx(0.001 + 4.999 * wave)
    plain = OptimConfig(lr=2.0)
    assert group_rate(plain, 1.0, 10.0) == 10.0 and group_rate(plain, 1.0, 1.0, base=0.5) == 0.25
    with pytest.raises(ValueError, match=r"must be below optim\.lr"):
        OptimConfig(lr=1e-3, floor=1e-3)
