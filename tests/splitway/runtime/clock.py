"""Time that passes when a test says so."""

from __future__ import annotations


class Clock:
    """Monotonic seconds, from 1000."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_(self, seconds: float) -> None:
        self.now_s += seconds
