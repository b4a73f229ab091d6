"""What a gateway says of itself is read, whatever its version leaves out, and whatever else answers there."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from splitway.cli.status import failures, look_of
from splitway.schemas.pipeline import PipelineStatus
from splitway.telemetry.outcome import CALLERS, CANCELLED, OK, OURS
from tests.splitway.cli.pipelines import AT, URL, pipeline


def test_what_counts_as_failed_is_what_metrics_and_logs_call_ours() -> None:
    assert failures(dict.fromkeys(OURS, 1)) == len(OURS)
    assert failures(dict.fromkeys([*CALLERS, OK, CANCELLED], 1)) == 0


def test_what_an_older_gateway_leaves_out_is_unknown_and_not_an_error() -> None:
    status = PipelineStatus.model_validate(
        {"ready": False, "stages": [{"name": "x", "replicas": [{"url": "http://x"}]}]}
    )
    assert status.gateway is None
    assert status.admission.limit is None
    assert status.stages[0].replicas[0].breaker is None


def test_the_calls_of_a_stage_are_those_of_its_replicas() -> None:
    status = PipelineStatus.model_validate(pipeline())
    assert status.stages[0].attempts == {"ok": 120}
    assert status.stages[0].ready_replicas == 2


def _reply(status: int = 200, content: Any = None, text: str | None = None) -> httpx.Response:
    body = {"text": text} if text is not None else {"json": content}
    return httpx.Response(status, request=httpx.Request("GET", URL), **body)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (_reply(404, {}), "answers 404 to /v1/pipeline: is it a Splitway gateway?"),
        (_reply(429, {"detail": "over its rate"}), "answers 429 to /v1/pipeline: over its rate"),
        (_reply(text="<html>"), "with something that is not JSON"),
        (_reply(content=[1]), "in a form that is not a gateway's (all of it)"),
        (_reply(text="[" * 200_000), "with something that is not JSON"),
        (_reply(content={"ready": True, "stages": 3}), "in a form that is not a gateway's (stages)"),
    ],
    ids=["404", "429", "no-json", "list", "deep", "wrong-type"],
)
def test_whatever_else_answers_there_is_a_sentence(reply: httpx.Response, says: str) -> None:
    look = look_of(URL, reply, AT, 0.0)
    assert look.status is None
    assert not look.is_ready
    assert says in str(look.trouble)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (httpx.ConnectError("refused"), "no gateway answers at http://127.0.0.1:8080; start one with: splitway up"),
        (httpx.ReadTimeout("slow"), "has not answered within 2 s"),
        (httpx.RemoteProtocolError("not HTTP\nat all"), "gives no answer: not HTTP"),
    ],
    ids=["refused", "frozen", "no-http"],
)
def test_a_call_that_fails_is_a_sentence(error: httpx.HTTPError, says: str) -> None:
    assert says in str(look_of(URL, error, AT, 0.0).trouble)


def test_a_line_of_json_is_the_gateways_own_words_with_time_and_place() -> None:
    answer = pipeline()
    line = json.loads(look_of(URL, _reply(content=answer), AT, 0.0).to_json())
    assert line.pop("at").startswith("2026-11-25T20:58:39.000")
    assert line.pop("url") == URL
    assert line == answer


def test_a_line_of_json_without_an_answer_says_why() -> None:
    line = json.loads(look_of(URL, httpx.ConnectError(""), AT, 0.0).to_json())
    assert (line["ready"], line["url"]) == (False, URL)
    assert line["reason"].startswith("no gateway answers")


def test_what_is_said_cannot_move_the_terminals_cursor() -> None:
    odd = pipeline()
    odd["reason"] = "\x1b[2J gone"
    odd["stages"][0]["name"] = "\x1b]0;pwned\x07"
    look = look_of(URL, _reply(content=odd), AT, 0.0)
    assert look.status is not None
    assert (look.status.reason, look.status.stages[0].name) == ("\\x1b[2J gone", "\\x1b]0;pwned\\x07")
    assert "\x1b" not in look.to_json()
