"""Features of one space to features of the next."""

from __future__ import annotations

from splitway.runtime.stage import TensorStage


class Body(TensorStage):
    """Takes features of its own feature space, gives features of the space that it leads to."""
