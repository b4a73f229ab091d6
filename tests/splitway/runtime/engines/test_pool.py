"""One engine with every thread for who comes alone, several with few for those who don't; the answers are the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.runtime.engines.load import load_engine
from splitway.runtime.engines.pool import MOST_SLOTS, EnginePool, slots_for
from splitway.wire.tensor import Arrays
from testkit.support import random_pixels


class Named:
    """An engine that says which it is."""

    name = "named"

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return {"threads": np.full(1, self.threads)}


@pytest.mark.parametrize(
    ("threads", "parallel", "slots"), [(1, True, 1), (2, True, 2), (16, True, MOST_SLOTS), (8, False, 1)]
)
def test_slots_follow_the_cores_up_to_what_memory_allows(threads: int, parallel: bool, slots: int) -> None:
    assert slots_for(threads, parallel=parallel) == slots


@pytest.mark.parametrize(("threads", "alone", "got"), [(2, True, 2), (2, False, 1), (16, False, 4), (1, False, 1)])
def test_who_comes_alone_gets_every_thread(threads: int, alone: bool, got: int) -> None:
    pool = EnginePool(Named, threads, slots_for(threads, parallel=True))
    assert pool.infer({}, alone)["threads"].tolist() == [got]


def test_an_answer_has_the_same_bits_whichever_engine_gave_it(extractor_bundle: Bundle) -> None:
    pool = EnginePool(lambda threads: load_engine("litert", extractor_bundle, threads), 2, 2)
    pixels = random_pixels(6)
    expected = [pool.infer({"pixels": row[None]}, True)["features"].tobytes() for row in pixels]
    with ThreadPoolExecutor(2) as threads:
        got = list(threads.map(lambda row: pool.infer({"pixels": row[None]}, False)["features"].tobytes(), pixels))
    assert got == expected
