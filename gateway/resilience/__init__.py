"""Pure objects that keep a stage's trouble from the caller. They know no HTTP; clocks and chance are passed in."""

from collections.abc import Callable

Chance = Callable[[], float]
"""Returns a number from 0 up to, but not including, 1."""
