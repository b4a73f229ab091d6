"""The batcher by the name that programs outside of this repository import it by; its parts are in `batching`."""

from __future__ import annotations

from splitway.runtime.batching.batch import BatchPolicy
from splitway.runtime.batching.batcher import Batcher

__all__ = ["BatchPolicy", "Batcher"]
