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


def test_several_members_are_one_body_and_very_many_are_refused() -> None:
    assert unpack(pack(b"abc", "gzip") + pack(b"", "gzip") + pack(b"def", "gzip"), "gzip", 300) == b"abcdef"
    with pytest.raises(TooLarge, match="members"):
        unpack(pack(b"", "gzip") * 2000, "gzip", 300)
    with pytest.raises(InvalidInput, match="behind its end"):
        unpack(pack(b"abc", "deflate") * 2, "deflate", 300)


def test_large_bodies_unpack_in_steps() -> None:
    data = bytes(range(256)) * 4000
    assert unpack(pack(data, "gzip") + pack(data, "gzip"), "gzip", 2 * len(data)) == data * 2


@pytest.mark.parametrize("body", [b"", b"not packed", pack(b"abc", "gzip")[:-4], pack(b"abc", "gzip") + b"x"])
def test_broken_packing_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        unpack(body, "gzip", 1000)


def test_only_a_caller_who_names_one_encoding_gets_it() -> None:
    assert packing_asked_for("gzip") == "gzip"
    assert packing_asked_for("gzip, deflate, br") is None
    assert packing_asked_for(None) is None
