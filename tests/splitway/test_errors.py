"""Every failure has a code of its own and a place in every edge's table."""

from __future__ import annotations

import pytest

import gateway.problems
from gateway.routes import NoChain
from gateway.stage_client import NotCalled
from splitway import errors
from splitway.wire import v2_rest


def _all_below(cls: type[errors.SplitwayError]) -> list[type[errors.SplitwayError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in _all_below(sub))]


ONLINE = [
    cls
    for cls in _all_below(errors.SplitwayError)
    if not issubclass(cls, errors.OfflineError) and cls not in (errors.RequestError, errors.ServingError)
]


@pytest.mark.parametrize("cls", ONLINE, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("table", [v2_rest.STATUSES, gateway.problems.STATUSES], ids=["stage", "gateway"])
def test_every_error_has_a_status_at_every_edge(cls: type[errors.SplitwayError], table: dict[str, int]) -> None:
    assert 400 <= table[cls.code] < 600


def test_no_table_has_a_code_that_nothing_raises() -> None:
    codes = {cls.code for cls in ONLINE}
    assert set(v2_rest.STATUSES) == codes
    assert set(gateway.problems.STATUSES) == codes


def test_codes_are_not_shared() -> None:
    own = [cls for cls in ONLINE if "code" in vars(cls)]
    assert len({cls.code for cls in own}) == len(own)
    assert {cls for cls in ONLINE if cls not in own} == {errors.Unreachable, NoChain, NotCalled}


def test_the_callers_mistakes_are_4xx_and_ours_are_5xx() -> None:
    for cls in ONLINE:
        ours = gateway.problems.STATUSES[cls.code] >= 500
        assert ours == (not issubclass(cls, errors.RequestError)), cls
