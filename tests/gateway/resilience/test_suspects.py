"""Requests that may bring replicas down: remembered for a minute, by what they hold."""

from __future__ import annotations

import numpy as np

from splitway.gateway.resilience.suspects import Suspects, digest_of
from splitway.wire.tensor import Tensor
from tests.gateway.resilience.support import Clock


def test_each_is_remembered_for_a_minute_from_the_last_time() -> None:
    clock = Clock()
    suspects = Suspects(clock)
    suspects.add(b"one")
    clock.now_s += 30
    suspects.add(b"other")
    suspects.add(b"one")
    clock.now_s += 59
    assert b"one" in suspects
    assert b"other" in suspects
    clock.now_s += 2
    assert b"one" not in suspects
    assert not suspects


def test_no_more_than_so_many_are_remembered() -> None:
    suspects = Suspects(Clock())
    for number in range(5000):
        suspects.add(str(number).encode())
    assert len(suspects) == 1024
    assert b"4999" in suspects
    assert b"0" not in suspects


async def test_the_digest_is_of_the_inputs_alone() -> None:
    picture = Tensor.of_bytes("image", [b"picture"])
    numbers = Tensor.of_array("x", np.arange(6, dtype=np.float32).reshape(2, 3))
    large = Tensor.of_bytes("image", [memoryview(bytes(1 << 20))])
    empty = Tensor.of_array("x", np.zeros((0, 3), np.float32))
    different = [
        [picture],
        [numbers],
        [large],
        [empty],
        [Tensor.of_bytes("image", [b"pictur", b"e"])],
        [Tensor.of_array("x", np.arange(6, dtype=np.float32).reshape(3, 2))],
        [Tensor.of_array("y", np.arange(6, dtype=np.float32).reshape(2, 3))],
        [Tensor.of_array("x", np.arange(6, dtype=np.int32).reshape(2, 3))],
        [picture, numbers],
    ]
    digests = [await digest_of("model", inputs) for inputs in different]
    assert len(set(digests)) == len(different)
    again = Tensor.of_array("x", np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), {"parameter": 1})
    assert await digest_of("model", [again]) == digests[1]
    assert await digest_of("another", [again]) != digests[1]
    assert await digest_of("model", [Tensor.of_bytes("image", [bytes(1 << 20)])]) == digests[2]
