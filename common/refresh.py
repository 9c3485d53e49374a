"""Where the steps of a stage are interrupted to find something anew with its own network."""

from collections.abc import Iterator

from common.patience import due


def spans(step: int, steps: int, every: int | None, begun: int = 0) -> Iterator[tuple[int, int, bool]]:
    """Yield (first step, step behind the last, whether to refresh before) of each uninterrupted run of steps.

    A refresh is due before the first step of a stage, and whenever the steps together with those of the stage whose
    count goes on are a multiple of ``every``; so it depends on the position alone, and a resumed stage finds it again.

    Args:
        step: Steps done.
        steps: Length of the stage.
        every: Steps between two refreshes; None: never.
        begun: Steps of the stage before, when its count goes on.
    """
    while step < steps:
        stop = steps if every is None else min(steps, step + every - (begun + step) % every)
        yield step, stop, every is not None and (step == 0 or due(begun + step, every))
        step = stop
