"""A stage's answer to an inference, as the gateway reads it: status, headers and body."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import orjson

from splitway.answers.classes.predictions import read_predictions
from splitway.errors import SplitwayError
from splitway.gateway.hop.turn import read_timings
from splitway.gateway.hop.verdict import judge_reply
from splitway.gateway.transport.http1 import Reply
from splitway.skins.v2_rest import v2_error
from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.v2_json import HEADER_LENGTH, build_response, parse_response
from tests.fuzz.frames import TOKENS, json_of, split_frame, whole_frames
from tests.fuzz.target import Target, lines

_STATUSES = (200, 400, 404, 409, 413, 415, 418, 429, 500, 502, 503, 504)


def run(data: bytes) -> None:
    (status, retry_after, server_timing), frame = lines(data, 3)
    body, header_length = split_frame(frame)
    headers = {"retry-after": retry_after, "server-timing": server_timing}
    if header_length is not None:
        headers[HEADER_LENGTH] = header_length
    reply = Reply(_STATUSES[len(status) % len(_STATUSES)], headers, body)
    _timings(server_timing)
    if reply.status != 200:
        _refusal(reply)
        return
    with suppress(SplitwayError):
        _answer(parse_response(reply.body, reply.headers.get(HEADER_LENGTH)))


def _timings(text: str) -> None:
    timings = read_timings(text, 1.0).in_ms()
    assert all(isinstance(value, float) for value in orjson.loads(orjson.dumps(timings)).values()), timings
    assert all(value >= 0 for value in timings.values()), timings


def _refusal(reply: Reply) -> None:
    verdict = judge_reply("stage", reply, takes_callers_input=True)
    v2_error(verdict.error)  # with its Retry-After
    assert 0 <= verdict.not_before_s < 1e9


def _answer(response: InferResponse) -> None:
    asked = InferRequest((), parameters={"binary_data_output": True})
    again = parse_response(*build_response(response, asked))
    assert build_response(again, asked) == build_response(response, asked)
    build_response(response, InferRequest(()))  # as JSON, to a caller who wants that
    for tensor in response.outputs:
        with suppress(SplitwayError):
            orjson.dumps(read_predictions("head", tensor, 5))


def seeds() -> Iterator[bytes]:
    header = {"model_name": "m", "model_version": "1", "parameters": {"feature_space": "fs:0123456789abcdef"}}
    for frame in whole_frames("outputs", header):
        yield b"\n\nqueue;dur=0.1, decode;dur=2, compute;dur=3.25\n" + frame
    for number in range(1, len(_STATUSES)):
        yield b"x" * number + b'\n7\n\n\n{"error": "no"}'


TARGET = Target(
    run, seeds, (*TOKENS, "queue", ";dur=", "nan", "inf", "error"), json_at=partial(json_of, lines_before=3)
)
