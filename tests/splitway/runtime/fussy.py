"""An engine that fails on some input, in every way in which engines do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import EngineFailed
from splitway.wire.tensor import Arrays

RAISES, GIVES_NAN = -1.0, -2.0
"""What rows of `x` make it fail."""


class FussyEngine:
    """Doubles `x`, of n rows of any shape; what it is given beside it does not matter."""

    name = "fussy"

    def __init__(self, raises: Exception | None = None) -> None:
        self.runs: list[int] = []
        """Rows of each run."""
        self.is_broken = False
        self._raises = raises or EngineFailed("it could not be run", private="index out of bounds")

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        x = inputs["x"]
        self.runs.append(len(x))
        if self.is_broken or (x == RAISES).any():
            raise self._raises
        return {"y": np.where(x == GIVES_NAN, np.float32(np.nan), x * 2)}
