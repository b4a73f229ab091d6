from __future__ import annotations

import gzip

import pytest
from starlette.requests import Request

from splitway.errors import InvalidInput, TooLarge, UnsupportedMediaType
from splitway.http.body import pack, packing_asked_for, read_body, unpack
from splitway.wire.deadline import Deadline


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
    with pytest.raises(InvalidInput, match="after its end"):
        unpack(pack(b"abc", "deflate") * 2, "deflate", 300)


def test_large_bodies_unpack_in_steps() -> None:
    data = bytes(range(256)) * 4000
    assert unpack(pack(data, "gzip") + pack(data, "gzip"), "gzip", 2 * len(data)) == data * 2


@pytest.mark.parametrize("body", [b"", b"not packed", pack(b"abc", "gzip")[:-4], pack(b"abc", "gzip") + b"x"])
def test_broken_packing_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        unpack(body, "gzip", 1000)


def test_several_members_of_gzip_are_one_body() -> None:
    members = [pack(b"abc" * 10, "gzip"), pack(b"", "gzip"), pack(bytes(100_000), "gzip"), gzip.compress(b"end")]
    assert unpack(b"".join(members), "gzip", 200_000) == b"abc" * 10 + bytes(100_000) + b"end"


def test_the_limit_holds_over_all_members() -> None:
    member = pack(bytes(400), "gzip")
    assert len(unpack(member * 2, "gzip", 800)) == 800
    with pytest.raises(TooLarge, match="limit of 799 bytes"):
        unpack(member * 2, "gzip", 799)
    with pytest.raises(TooLarge, match="more than 1024 members"):
        unpack(pack(b"", "gzip") * 1025, "gzip", 799)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (pack(b"abc", "gzip") * 2 + b"x", "gzip"),
        (pack(b"abc", "gzip") + bytes(8), "gzip"),
        (pack(b"abc", "gzip") * 2 + b"\x1f\x8b", "gzip"),
        (pack(b"abc", "deflate") * 2, "deflate"),
    ],
    ids=["a letter", "zeros", "half a member", "deflate has no members"],
)
def test_what_follows_the_last_member_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(InvalidInput, match=r"after its end|cut short"):
        unpack(body, encoding, 1000)


def test_only_a_caller_who_names_one_encoding_gets_it() -> None:
    assert packing_asked_for("gzip") == "gzip"
    assert packing_asked_for("gzip, deflate, br") is None
    assert packing_asked_for(None) is None


async def _read(body: bytes, encoding: str, max_bytes: int = 1000) -> bytes:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body}

    request = Request({"type": "http", "headers": []}, receive)
    return await read_body(request, {"content-encoding": encoding}, max_bytes, Deadline.after(5))


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "X-GZIP", "gzip, identity", "identity,x-gzip"])
async def test_gzip_has_two_names_and_identity_beside_it_changes_nothing(encoding: str) -> None:
    assert await _read(pack(b"abc" * 100, "gzip"), encoding) == b"abc" * 100
    with pytest.raises(TooLarge):
        await _read(pack(bytes(2000), "gzip"), encoding)


async def test_several_packings_and_unknown_ones_are_refused() -> None:
    assert await _read(b"abc", "identity, identity") == b"abc"
    for encoding in ("gzip, gzip", "deflate, gzip", "br", "x-deflate"):
        with pytest.raises(UnsupportedMediaType):
            await _read(b"abc", encoding)
