"""CPU priority: an event loop that answers in microseconds goes before an engine that computes for long.

Without it a full machine lets the cheapest answers, health and refusals, wait behind the dearest.
"""

from __future__ import annotations

import contextlib
import os
import threading

GIVES_WAY_BY = 5
"""Steps of `nice`: about a third of the weight of a thread that has not given way."""


def give_way() -> None:
    """Lower the calling thread's priority, on Linux, where threads have one of their own."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GIVES_WAY_BY)
