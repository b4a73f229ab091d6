"""What a process says of itself: is it ready, and if not, why not."""

from __future__ import annotations

from collections.abc import Callable

_FAILED = "nothing can be served; the last line of its log says why"
"""The reason itself may name paths."""


class Lifecycle:
    """Ready when nothing stands against it.

    A reason not to be ready is asked for on each probe, so that readiness follows what is, not what was.

    Args:
        check: returns the reason why the process cannot serve, or None.
    """

    def __init__(self, check: Callable[[], str | None]) -> None:
        self._check = check
        self._draining = False
        self.failure: str | None = None
        """Why the process can never become ready; its supervisor should end it, and gets the reason."""
        self.hang: str | None = None
        """What can no longer answer, and why; the process is to end and to be started again. Set by any thread."""
        self.is_stuck = False
        """Whether something could not be stopped, so that the process cannot end in order."""
        self.last_resort: Callable[[], None] = lambda: None
        """Ends the process at once. Called by a thread, where it hangs and has not ended in time."""

    def drain(self) -> None:
        """Say 'not ready' from now on; work already accepted goes on."""
        self._draining = True

    @property
    def not_ready_because(self) -> str | None:
        if self.failure is not None:
            return _FAILED
        return self.hang or ("draining" if self._draining else self._check())
