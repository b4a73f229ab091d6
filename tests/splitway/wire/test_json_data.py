"""Large JSON in pieces is what it is at once, right or wrong."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import orjson
import pytest

from splitway.wire import json_data
from splitway.wire.aside import STEP_BYTES
from splitway.wire.json_data import loads_in_pieces


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_data, "STEP_BYTES", 7)
    monkeypatch.setattr(json_data, "LARGE_BYTES", 1)
    monkeypatch.setattr(json_data, "give_way", lambda: None)


def _nested(chance: random.Random, depth: int) -> Any:
    if not depth or chance.random() < 0.2:
        return chance.choice([1, -2.5, 3e5, True, None])
    return [_nested(chance, depth - 1) for _ in range(chance.randrange(5))]


@pytest.mark.usefixtures("tiny_pieces")
def test_pieces_give_what_reading_at_once_gives_and_refuse_what_it_refuses() -> None:
    chance = random.Random(3)
    for _ in range(2000):
        inputs = [{"name": "],", "data": [_nested(chance, 3) for _ in range(6)]} for _ in range(2)]
        text = bytearray(orjson.dumps({"inputs": inputs, "id": '"data":[['}))
        assert loads_in_pieces(bytes(text)) == orjson.loads(text)
        text[chance.randrange(len(text))] = chance.choice(b'[],1 {}":')
        try:
            expected = orjson.loads(text)
        except orjson.JSONDecodeError:
            with pytest.raises(orjson.JSONDecodeError):
                loads_in_pieces(bytes(text))
        else:
            assert loads_in_pieces(bytes(text)) == expected


@pytest.mark.parametrize("shape", [(300_000,), (100_000, 3), (40, 50, 60), (100_000, 1, 1)], ids=str)
def test_large_arrays_are_read_in_pieces(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = 0

    def count() -> None:
        nonlocal pieces
        pieces += 1

    monkeypatch.setattr(json_data, "give_way", count)
    data = np.random.default_rng(1).random(shape).round(6).tolist()
    text = orjson.dumps({"inputs": [{"name": "a", "data": data}]})
    assert loads_in_pieces(text) == {"inputs": [{"name": "a", "data": data}]}
    assert pieces >= len(text) // STEP_BYTES
