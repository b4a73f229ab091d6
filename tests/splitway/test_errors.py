"""Every failure has a code of its own and a place in every edge's table."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from splitway import errors
from splitway.gateway.edge import problems
from splitway.gateway.fleet.router import NoChain
from splitway.gateway.hop.stage_client import NotCalled
from splitway.gateway.transport.transport import CutOff
from splitway.http.errors import as_ours
from splitway.skins import v2_rest


def _all_below(cls: type[errors.SplitwayError]) -> list[type[errors.SplitwayError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in _all_below(sub))]


ONLINE = [
    cls
    for cls in _all_below(errors.SplitwayError)
    if not issubclass(cls, errors.OfflineError) and cls not in (errors.RequestError, errors.ServingError)
]


@pytest.mark.parametrize("cls", ONLINE, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("table", [v2_rest.STATUSES, v2_rest.CHAIN_STATUSES], ids=["stage", "gateway"])
def test_every_error_has_a_status_at_every_edge(cls: type[errors.SplitwayError], table: dict[str, int]) -> None:
    assert 400 <= table[cls.code] < 600


def test_no_table_has_a_code_that_nothing_raises() -> None:
    codes = {cls.code for cls in ONLINE}
    assert set(v2_rest.STATUSES) == codes
    assert set(v2_rest.CHAIN_STATUSES) == codes


def test_codes_are_not_shared() -> None:
    own = [cls for cls in ONLINE if "code" in vars(cls)]
    assert len({cls.code for cls in own}) == len(own)
    assert {cls for cls in ONLINE if cls not in own} == {
        errors.UnfitInput,
        errors.Unreachable,
        NoChain,
        NotCalled,
        CutOff,
    }


PLACE = "http://10.1.2.3:8081/home/somebody/models"


def _rendered(path: str, error: errors.SplitwayError) -> list[Response]:
    request = Request(
        {"type": "http", "path": path, "headers": [], "query_string": b"\xff", "state": {"request_id": "mine"}}
    )
    return [v2_rest.v2_error(error), problems.render(request, error)]


@pytest.mark.parametrize("cls", ONLINE, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("path", ["/v1/classify", "/v2/models/pipeline/infer"])
def test_no_answer_says_what_is_private(cls: type[errors.SplitwayError], path: str) -> None:
    error = cls("told", stage="classifier", retry_after_s=1, private=PLACE)
    assert error.in_full == f"told ({PLACE})"
    answers = _rendered(path, as_ours(error))
    for answer in answers:
        assert b"told" in answer.body
        assert PLACE not in repr((answer.body, answer.raw_headers))


@pytest.mark.parametrize("cls", _all_below(errors.OfflineError), ids=lambda cls: cls.__name__)
def test_what_is_for_the_command_line_never_gets_into_an_answer(cls: type[errors.SplitwayError]) -> None:
    for answer in _rendered("/v1/classify", as_ours(cls(PLACE))):
        assert answer.status_code == 500
        assert PLACE not in repr((answer.body, answer.raw_headers))


@pytest.mark.parametrize("path", ["/v1/classify", "/v2/models/pipeline/infer"])
def test_nothing_in_an_answer_moves_a_terminals_cursor(path: str) -> None:
    for answer in _rendered(path, errors.NotFound("\x1b[2J\x9b2J")):
        assert b"\\\\x1b[2J\\\\x9b2J" in answer.body


def test_what_is_private_is_bounded() -> None:
    assert len(errors.EngineFailed("told", private="x" * 10_000).in_full) < 600


def test_the_callers_mistakes_are_4xx_and_ours_are_5xx() -> None:
    for cls in ONLINE:
        ours = v2_rest.CHAIN_STATUSES[cls.code] >= 500
        assert ours == (not issubclass(cls, errors.RequestError)), cls
