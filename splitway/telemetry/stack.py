"""Where a thread stands."""

from __future__ import annotations

import sys
import traceback


def stack_of(thread: int, most: int) -> str:
    """Return the calls that a thread is in, the innermost first; empty for a thread that has ended.

    Args:
        thread: its identifier.
        most: how many calls are told.
    """
    frame = sys._current_frames().get(thread)
    stack = traceback.extract_stack(frame)[-most:] if frame is not None else []
    return " < ".join(f"{each.name} ({each.filename}:{each.lineno})" for each in stack[::-1])
