"""Programs outside of this repository find the batcher by a name that stays."""

from __future__ import annotations

from splitway.runtime import batcher
from splitway.runtime.batching.batch import BatchPolicy
from splitway.runtime.batching.batcher import Batcher


def test_it_is_the_same_batcher() -> None:
    assert (batcher.Batcher, batcher.BatchPolicy) == (Batcher, BatchPolicy)
