"""How many rows fit into a message."""

from __future__ import annotations

import pytest

from splitway.wire.room import MAX_BODY_BYTES, Room, rows_that_fit

MB = 1_000_000


@pytest.mark.parametrize(
    ("row_bytes", "fit"),
    [
        (0, None),
        (4, (MAX_BODY_BYTES - 16 * 1024) // 4),
        (5 * MB, 6),
        (MAX_BODY_BYTES // 2, 1),
        (MAX_BODY_BYTES - 1, 1),
        (MAX_BODY_BYTES, 0),
        (512 * 512 * 64 * 4, 0),
    ],
)
def test_rows_of_a_size_that_fit_into_a_request(row_bytes: int, fit: int | None) -> None:
    assert rows_that_fit(row_bytes, MAX_BODY_BYTES) == fit


def test_what_crosses_has_to_fit_into_the_reply_and_into_the_request() -> None:
    room = Room(max_body_bytes=10 * MB, max_reply_bytes=3 * MB)
    assert room.rows(input_bytes=1 * MB, output_bytes=1 * MB) == 2
    assert room.rows(input_bytes=4 * MB, output_bytes=0) == 2
    assert room.rows(input_bytes=0, output_bytes=0) is None


@pytest.mark.parametrize(
    ("room", "names"),
    [
        (
            Room(2 * MB, 9 * MB),
            ("5000000 bytes", "one request to a stage has at most 2000000", "SPLITWAY_MAX_BODY_BYTES"),
        ),
        (
            Room(9 * MB, 2 * MB),
            ("5000000 bytes", "one reply of a stage has at most 2000000", "SPLITWAY_MAX_REPLY_BYTES"),
        ),
    ],
)
def test_what_does_not_fit_is_said_with_the_bytes_and_the_setting(room: Room, names: tuple[str, ...]) -> None:
    said = room.why_not(5 * MB)
    assert said is not None
    assert all(name in said for name in names)
    assert room.why_not(1 * MB) is None
