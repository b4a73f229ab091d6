"""A line for each request, for a share of them under load, and never what was sent."""

from __future__ import annotations

import logging
import zlib

import pytest

from splitway.errors import InvalidInput, NotFound, Unavailable
from splitway.telemetry.log.request_log import LoggedShare, RequestLog
from splitway.telemetry.watch import RequestEnded


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _ids(second: int, count: int) -> list[str]:
    return [f"request-{second}-{number}" for number in range(count)]


def test_everything_is_logged_where_little_comes() -> None:
    clock = Clock()
    share = LoggedShare(20, clock)
    for second in range(5):
        clock.now_s = float(second)
        assert all(share.takes(id_) for id_ in _ids(second, 20))
    assert share.share == 1.0


def test_under_load_about_as_many_as_are_wanted() -> None:
    clock = Clock()
    share = LoggedShare(20, clock)
    taken = []
    for second in range(30):
        clock.now_s = float(second)
        taken.append(sum(share.takes(id_) for id_ in _ids(second, 1000)))
    assert taken[0] <= 20 * 7  # nothing is known of the load yet: the share is halved until it fits
    assert 10 <= sum(taken[1:]) / 29 <= 25
    clock.now_s = 60.0
    assert share.takes("after a pause")
    assert share.share == 1.0


def test_bursts_with_pauses_between_are_expected() -> None:
    clock = Clock()
    share = LoggedShare(20, clock)
    taken = []
    for second in range(0, 60, 2):
        clock.now_s = float(second)
        taken.append(sum(share.takes(id_) for id_ in _ids(second, 500)))
    assert sum(taken[1:]) / 29 <= 25


def test_two_that_meet_a_burst_in_another_order_log_the_same() -> None:
    """The first busy second, of which neither knows anything."""
    ids = _ids(0, 500)
    first, second = LoggedShare(20, Clock()), LoggedShare(20, Clock())
    logged = {id_ for id_ in ids if first.takes(id_)}
    also = {id_ for id_ in reversed(ids) if second.takes(id_)}
    last = min(first.share, second.share)
    surely = {id_ for id_ in ids if zlib.crc32(id_.encode()) < last * (1 << 32)}
    assert surely
    assert surely <= logged & also


def test_processes_log_the_same_requests() -> None:
    """The second sees half of what the first sees; what the first logs of that, the second logs as well."""
    clock = Clock()
    first, second = LoggedShare(50, clock), LoggedShare(50, clock)
    for at in range(3):
        clock.now_s = float(at)
        ids = _ids(at, 400)
        logged = {id_ for id_ in ids if first.takes(id_)}
        also = {id_ for id_ in ids[::2] if second.takes(id_)}
    assert logged & set(ids[::2]) <= also
    assert logged


def _ended(error: Exception | None, outcome: str, id_: str = "mine") -> RequestEnded[dict[str, object]]:
    return RequestEnded(
        "/v1/classify",
        outcome,
        0.25,
        id_,
        "4bf9",
        7,
        5,
        error,
        {"stages": 2} if error is None else None,
        at_s=1_700_000_000.5,
    )


@pytest.mark.parametrize(
    ("error", "outcome", "level", "says"),
    [
        (None, "ok", "INFO", {"stages": 2}),
        (InvalidInput("'secret' is not a number"), "invalid_input", "INFO", {}),
        (Unavailable("gone", stage="classifier"), "unavailable", "WARNING", {"blamed": "classifier", "detail": "gone"}),
        (ValueError("'secret'"), "internal", "WARNING", {}),
    ],
    ids=["ok", "the caller's", "ours", "a defect"],
)
def test_what_a_line_says(
    error: Exception | None, outcome: str, level: str, says: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    log = RequestLog("request", "route", 20, Clock(), lambda facts: facts)
    with caplog.at_level(logging.INFO):
        log.on_request(_ended(error, outcome))
    (record,) = caplog.records
    assert record.levelname == level
    told = {"route": "/v1/classify", "request_id": "mine", "trace_id": "4bf9", "outcome": outcome, "ms": 250.0, **says}
    assert told.items() <= vars(record).items()
    assert "secret" not in str(vars(record))
    assert record.created == 1_700_000_000.5


def test_failures_are_not_crowded_out(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog("request", "route", 5, Clock(), lambda facts: facts)
    with caplog.at_level(logging.INFO):
        for number in range(100):
            log.on_request(_ended(None, "ok", f"ok-{number}"))
        log.on_request(_ended(Unavailable("gone"), "unavailable"))
    *well, last = caplog.records
    assert 5 <= len(well) <= 30
    assert vars(well[-1])["share"] < 1
    assert (last.levelname, "share" in vars(last)) == ("WARNING", False)


def test_names_that_callers_make_up_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog("request", "route", 5, Clock(), lambda facts: facts)
    with caplog.at_level(logging.INFO):
        log.on_request(_ended(NotFound("there is no head", stage="secret"), "not_found"))
    assert "secret" not in str(vars(caplog.records[0]))


def test_none_is_logged_where_none_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        RequestLog("request", "route", 0, Clock(), lambda facts: facts).on_request(_ended(None, "ok"))
    assert not caplog.records
