"""When a stage is scored, and when it stops because its score no longer rises (SSDA_MME's and S3D's rule)."""


def due(step: int, every: int | None, offset: int = 0) -> bool:
    """Return whether something that happens ``every`` so many steps happens after ``step`` of them.

    Args:
        step: Steps done.
        every: Interval; None: never.
        offset: Steps by which everything is later; 1 imitates code that asks the number of the step itself.
    """
    return bool(every) and step > offset and (step - offset) % every == 0


class Patience:
    """Counts the scores in a row that are below the best; equal ones count as an improvement.

    Attributes:
        best: Highest score so far.
        beside: What came with the newest of the highest scores, for example an accuracy on other images.
        failures: Scores since then.
    """

    def __init__(self, limit: int | None) -> None:
        """Begin with nothing seen.

        Args:
            limit: Failures that are borne; one more stops. None never stops.
        """
        self.limit, self.best, self.beside, self.failures = limit, 0.0, None, 0

    def see(self, score: float, beside: float | None = None) -> bool:
        """Take a score, larger is better; return whether to stop."""
        if score >= self.best:
            self.best, self.beside, self.failures = score, beside, 0
        else:
            self.failures += 1
        return self.exhausted

    def state(self) -> dict:
        """Return what a checkpoint keeps."""
        return {"best": self.best, "beside": self.beside, "failures": self.failures}

    def load(self, state: dict) -> None:
        """Take over what ``state`` returned; an empty one leaves everything as it is."""
        self.best, self.beside = state.get("best", self.best), state.get("beside", self.beside)
        self.failures = state.get("failures", self.failures)

    @property
    def exhausted(self) -> bool:
        """Whether there were more failures than are borne."""
        return self.limit is not None and self.failures > self.limit
