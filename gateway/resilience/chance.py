"""Where the pure objects get their luck from; their time is `splitway.wire.deadline.Clock`."""

from __future__ import annotations

from collections.abc import Callable

Chance = Callable[[], float]
"""Returns a number from 0 up to, but not including, 1."""
