"""Stopping on SIGTERM and SIGINT (Ctrl-C) so that nothing is lost."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(Exception):
    """The run was asked to stop and did; ``status`` is the exit status that shells expect (130, 143)."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum
        self.status = 128 + signum


class StopSignal:
    """Watches for SIGTERM and SIGINT while it is entered.

    Inside ``at_next_step`` a signal is remembered and asked for with ``asked``, so that a checkpoint can be written;
    a second one, and any outside, raises ``Stopped`` at once.
    """

    def __init__(self, backend: Any):
        self._backend = backend
        self._before: dict[int, Any] = {}
        self._polite = False
        self.signum = 0

    def __enter__(self) -> "StopSignal":
        self._owner = os.getpid()
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def at_next_step(self) -> Iterator[None]:
        """While entered, a signal waits for ``asked``."""
        self._polite = True
        try:
            yield
        finally:
            self._polite = False

    def asked(self, together: bool) -> int:
        """Return the signal that any rank got, 0 when none.

        Args:
            together: Whether all ranks ask now, which they must to agree; one rank alone needs no agreement.
        """
        if self._backend.world > 1:
            if not together:
                return 0
            any_rank = self._backend.average({"stop": float(self.signum > 0)})["stop"] > 0
            self.signum = self.signum or (int(signal.SIGTERM) if any_rank else 0)
        return self.signum

    def _handle(self, signum: int, frame: object) -> None:
        if os.getpid() != self._owner:  # a forked worker of the loader inherited this handler
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        elif self._polite and not self.signum:
            self.signum = signum
        else:
            raise Stopped("interrupted", signum)
