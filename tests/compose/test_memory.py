"""Pictures that take much memory, at replicas with 512 MB each: refused or made to wait, and no replica is killed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.compose.composed import Compose, require_docker
from tests.support import until

require_docker()
pytestmark = pytest.mark.docker

EXTRACTOR = "feature-extractor"


@pytest.fixture(name="two")
def two_replicas(compose: Compose, cat: bytes) -> Iterator[Compose]:
    compose("up", "--detach", "--wait", "--scale", f"{EXTRACTOR}=2")
    compose.eventually_classifies(cat)
    yield compose
    compose("up", "--detach", "--wait", "--scale", f"{EXTRACTOR}=1")
    compose.eventually_classifies(cat)


def encoded(size: tuple[int, int], format_: str, **options: object) -> bytes:
    """Different in its parts, so that it is no picture of one colour, and small as a file."""
    few = Image.fromarray(np.random.default_rng(7).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    few.resize(size, Image.Resampling.BICUBIC).save(buffer, format_, **options)
    return buffer.getvalue()


def test_no_picture_kills_a_replica(two: Compose, cat: bytes) -> None:
    """A WebP of 25 megapixels is 230 kB and took 390 MB: it killed the replica that it met, by the retry the next."""
    before = [container["State"]["StartedAt"] for container in two.containers(EXTRACTOR)]
    largest = encoded((5000, 5000), "WEBP", method=0)
    refused = two.classify(largest, 60)
    assert (refused.status_code, "memory" in refused.json()["detail"]) in ((413, True), (200, False))
    pictures = [
        encoded((4000, 3000), "WEBP", method=0),
        encoded((5000, 5000), "PNG", compress_level=1),
        encoded((5000, 5000), "JPEG", progressive=True, subsampling=0),
    ]
    with ThreadPoolExecutor(12) as callers:
        answers = list(callers.map(lambda picture: two.classify(picture, 60).status_code, [*pictures, largest] * 6))
    assert answers.count(200) >= 6
    assert set(answers) <= {200, 413, 503, 504}, answers
    until(lambda: two.classify(cat).status_code == 200, 30)
    states = [container["State"] for container in two.containers(EXTRACTOR)]
    assert [state["OOMKilled"] for state in states] == [False, False]
    assert sorted(state["StartedAt"] for state in states) == sorted(before)
