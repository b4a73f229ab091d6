"""What the query of a request asks for."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from splitway.errors import InvalidInput
from splitway.gateway.edge.query import Asked, check_names, read_query
from splitway.gateway.flow.request import AskedClasses


def asked(query: str) -> Request:
    return Request({"type": "http", "method": "POST", "query_string": query.encode(), "headers": []})


def test_what_is_not_asked_is_as_usual() -> None:
    assert read_query(asked("")) == Asked(AskedClasses(5, all_labels=True), heads=(), timeline=False)
    assert read_query(asked("top_k=3&heads=a, b&timeline=true")) == Asked(AskedClasses(3), ("a", "b"), timeline=True)


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("topk", "top_k"), ("top-k", "top_k"), ("TOP_K", "top_k"), ("head", "heads"), ("time_line", "timeline")],
)
def test_a_slip_is_said_and_not_ignored(slip: str, meant: str) -> None:
    with pytest.raises(InvalidInput, match=f"did you mean {meant}") as error:
        read_query(asked(f"{slip}=2"))
    assert slip in error.value.detail


@pytest.mark.parametrize("other", ["note", "utm_source", "api-version", "k", "ads", "", "format", "x" * 5000])
def test_what_callers_add_for_themselves_is_let_through(other: str) -> None:
    assert read_query(asked(f"{other}=2")) == Asked()
    check_names(asked(f"{other}=2"), ["history"])


@pytest.mark.parametrize("value", ["", "yes", "TRUE", "1"])
def test_a_flag_is_true_or_false(value: str) -> None:
    with pytest.raises(InvalidInput, match="timeline must be true or false"):
        read_query(asked(f"timeline={value}"))
