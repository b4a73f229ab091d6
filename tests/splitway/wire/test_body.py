from __future__ import annotations

import pytest

from splitway.errors import InvalidInput, TooLarge
from splitway.wire.body import pack, packing_asked_for, unpack


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_packed_bodies_unpack(encoding: str) -> None:
    assert unpack(pack(b"abc" * 100, encoding), encoding, 300) == b"abc" * 100


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit(encoding: str) -> None:
    bomb = pack(bytes(50_000_000), encoding)
    assert len(bomb) < 1_000_000
    with pytest.raises(TooLarge):
        unpack(bomb, encoding, 1_000_000)


@pytest.mark.parametrize("body", [b"", b"not packed", pack(b"abc", "gzip")[:-4], pack(b"abc", "gzip") + b"x"])
def test_broken_packing_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        unpack(body, "gzip", 1000)


def test_only_a_caller_who_names_one_encoding_gets_it() -> None:
    assert packing_asked_for("gzip") == "gzip"
    assert packing_asked_for("gzip, deflate, br") is None
    assert packing_asked_for(None) is None
