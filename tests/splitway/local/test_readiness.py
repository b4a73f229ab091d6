"""A gateway is asked whether its pipeline is ready."""

from __future__ import annotations

import pytest

from splitway.local.readiness import why_not_ready
from tests.splitway.cli.fake_gateway import Answer, fake_gateway


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(200, {"ready": True}), None),
        (Answer(503, {"reason": "no replica of classifier is ready"}), "no replica of classifier is ready"),
        (Answer(503, ["of another server"]), "the gateway does not answer"),
    ],
)
def test_it_says_what_is_missing_and_what_another_server_says_is_no_answer(answer: Answer, why: str | None) -> None:
    with fake_gateway(lambda _: answer) as url:
        assert why_not_ready(url, None) == why
    assert why_not_ready(url, None) == "the gateway does not answer"
