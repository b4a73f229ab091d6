"""What one attempt's end means: for the caller, for the retry, and for the replica's breaker."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from aiohttp import web

from splitway.errors import BadStageAnswer, InvalidInput
from splitway.gateway.hop.verdict import Blame, judge_reply
from splitway.gateway.transport.http1 import Reply
from splitway.names import CALLER_HEADER, UNFIT_ROW_HEADER
from tests.gateway.conftest import Gateway, good_classifier, good_extractor

JPEG = {"content-type": "image/jpeg"}
SAID = b'{"error": "features: row 3 has 3e+38: the model gives NaN or infinity for it; send other values"}'


def reply(status: int, row: str | None = "3", body: bytes = SAID) -> Reply:
    return Reply(status, {} if row is None else {UNFIT_ROW_HEADER: row}, body)


@pytest.mark.parametrize("stage", ["classifier", "body_1"])
def test_features_that_a_later_model_cannot_answer_are_the_callers(stage: str) -> None:
    verdict = judge_reply(stage, reply(400), takes_callers_input=False)
    assert (type(verdict.error), verdict.blame, verdict.may_retry) == (InvalidInput, Blame.NONE, False)
    assert "row 3 of the input" in verdict.error.detail
    assert "features: row 3" in verdict.error.private


def test_what_the_first_stage_says_of_its_input_is_told_in_its_words() -> None:
    verdict = judge_reply("feature_extractor", reply(400), takes_callers_input=True)
    assert (type(verdict.error), verdict.blame) == (InvalidInput, Blame.NONE)
    assert verdict.error.detail.startswith("features: row 3 has 3e+38")


@pytest.mark.parametrize(
    "said",
    [reply(400, None), reply(400, ""), reply(400, "-1"), reply(400, "x"), reply(400, "9" * 99), reply(413), reply(415)],
    ids=["no row", "empty", "negative", "no number", "endless", "too large", "media type"],
)
def test_a_stage_that_cannot_take_the_gateways_own_call_makes_no_sense(said: Reply) -> None:
    verdict = judge_reply("classifier", said, takes_callers_input=False)
    assert (type(verdict.error), verdict.blame) == (BadStageAnswer, Blame.FAILED)


def test_a_failure_is_a_failure_whatever_row_it_names() -> None:
    assert judge_reply("classifier", reply(500), takes_callers_input=False).blame is Blame.FAILED


async def _unfit(_: web.Request) -> web.StreamResponse:
    return web.Response(status=400, body=SAID, headers={UNFIT_ROW_HEADER: "0"}, content_type="application/json")


async def _stages(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (await client.get("/v1/pipeline")).json()["stages"]}


@pytest.mark.parametrize("at", ["extractor", "classifier"])
async def test_a_poisoning_caller_moves_nothing_that_others_share(gateway_before: Gateway, at: str) -> None:
    poison = b"poison"
    good = {"extractor": good_extractor, "classifier": good_classifier}[at]
    poisonous: set[str] = set()

    async def extractor(request: web.Request) -> web.StreamResponse:
        if poison in await request.read():
            poisonous.add(request.headers["x-request-id"])
        return await handler(request) if at == "extractor" else await good_extractor(request)

    async def handler(request: web.Request) -> web.StreamResponse:
        return await (_unfit if request.headers["x-request-id"] in poisonous else good)(request)

    stages = {"extractor": extractor, "classifier": handler if at == "classifier" else good_classifier}
    async with gateway_before(**stages) as client:
        before = await _stages(client)
        for number in range(40):
            bad = await client.post("/v1/classify", content=poison, headers=JPEG)
            assert (bad.status_code, bad.json()["code"]) == (400, "invalid_input")
            assert "127.0.0.1" not in bad.text
            if number % 4 == 0:
                assert (await client.post("/v1/classify", content=b"good", headers=JPEG)).status_code == 200
        for name, stage in (await _stages(client)).items():
            assert stage["replicas"][0]["breaker"] == "closed"
            assert stage["retry_budget"] >= before[name]["retry_budget"]
        attempts = (await _stages(client))["feature_extractor" if at == "extractor" else at]["replicas"][0]["attempts"]
        assert attempts == {"ok": 10, "invalid_input": 40}


async def test_a_stage_is_told_the_same_word_for_the_same_caller_and_not_the_callers_own(
    gateway_before: Gateway,
) -> None:
    said: list[str | None] = []

    async def extractor(request: web.Request) -> web.StreamResponse:
        said.append(request.headers.get(CALLER_HEADER))
        return await good_extractor(request)

    async with gateway_before(extractor=extractor) as client:
        for _ in range(2):
            await client.post("/v1/classify", content=b"good", headers={**JPEG, CALLER_HEADER: "somebody else"})
    assert len(set(said)) == 1
    assert said[0] is not None
    assert len(said[0]) == 16
    assert "127" not in said[0]
