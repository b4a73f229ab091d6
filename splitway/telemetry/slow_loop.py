"""A debug switch: what keeps the event loop from its other work, and for how long.

asyncio's own debug mode says the same and makes everything slow. Here the loop looks at the clock a few times within
the time that is allowed, and a thread that finds that it has not writes down where the loop stands.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

_log = logging.getLogger(__name__)
_LOOKS = 4
"""Within the time that is allowed."""
_FRAMES = 6
"""Of the loop's stack that are told."""


def _clocks() -> tuple[float, float, float]:
    """Seconds: on the wall, of this thread's work and of the process's."""
    return time.perf_counter(), time.thread_time(), time.process_time()


class SlowLoop:
    """Logs each time that the running loop stood still for more than `most_ms`, until it is closed.

    A busy machine makes such times too: the process has worked little in them.
    """

    def __init__(self, most_ms: float) -> None:
        self._most_s = most_ms / 1000
        self._every_s = self._most_s / _LOOKS
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._looked_s, self._worked_s, self._all_worked_s = _clocks()
        self._stands_at = ""
        self._ends = threading.Event()
        self._timer = self._loop.call_later(self._every_s, self._look)
        self._thread = threading.Thread(target=self._watch, name="slow loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        """On the loop: say how long it has been away."""
        now_s, worked_s, all_worked_s = _clocks()
        late_s = now_s - self._looked_s - self._every_s
        if late_s > self._most_s:
            where = self._stands_at or "a call that had ended before it was sampled"
            own_ms, all_ms = (worked_s - self._worked_s) * 1000, (all_worked_s - self._all_worked_s) * 1000
            says = "the event loop stood still for %.1f ms, in which it worked %.1f and the whole process %.1f: %s"
            _log.warning(says, late_s * 1000, own_ms, all_ms, where)
        self._looked_s, self._worked_s, self._all_worked_s, self._stands_at = now_s, worked_s, all_worked_s, ""
        self._timer = self._loop.call_later(self._every_s, self._look)

    def _watch(self) -> None:
        """In the thread: write down where the loop stands, if it does."""
        while not self._ends.wait(self._every_s):
            if time.perf_counter() - self._looked_s > self._most_s and not self._stands_at:
                self._stands_at = stack_of(self._loop_thread, _FRAMES)


def stack_of(thread: int, most: int) -> str:
    """Return the innermost calls that a thread is in, that one first; empty for a thread that has ended."""
    frame = sys._current_frames().get(thread)
    stack = traceback.extract_stack(frame)[-most:] if frame is not None else []
    return " < ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in stack[::-1])
