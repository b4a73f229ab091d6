"""The secret that the gateway sends and a stage asks for."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from splitway.errors import SetupError, SplitwayError
from splitway.names import TOKEN_HEADER
from splitway.security.service_token import ServiceToken, read_tokens

TOKEN, OTHER = "a" * 32, "b" * 32


def _render(_: Request, error: SplitwayError) -> Response:
    return PlainTextResponse(error.detail, 401)


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("served")(scope, receive, send)


async def _not_read() -> Message:
    pytest.fail("the body was read")


async def _status(tokens: tuple[str, ...], path: str, *sent: bytes, header: str = TOKEN_HEADER) -> int:
    answered: list[Message] = []

    async def send(message: Message) -> None:
        answered.append(message)

    headers = [(header.encode(), value) for value in sent]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    await ServiceToken(_app, tokens, _render)(scope, _not_read, send)
    said = b"".join(message.get("body", b"") for message in answered)
    assert not any(token.encode() in said for token in tokens)
    return int(answered[0]["status"])


@pytest.mark.parametrize("sent", [(), (b"",), (OTHER.encode(),), (TOKEN[:-1].encode(),), (TOKEN.encode() + b"a",)])
async def test_who_does_not_send_it_is_refused_before_the_body_is_read(sent: tuple[bytes, ...]) -> None:
    assert await _status((TOKEN,), "/v2/models/classifier/infer", *sent) == 401


async def test_sent_twice_it_is_refused() -> None:
    """Whoever stands between the two might look at the one, and the stage at the other."""
    assert await _status((TOKEN,), "/v1/stage", TOKEN.encode(), OTHER.encode()) == 401


@pytest.mark.parametrize("sent", [b"\xff" * 32, "ä".encode() * 16])
async def test_what_is_no_ascii_is_refused(sent: bytes) -> None:
    assert await _status((TOKEN,), "/v1/stage", sent) == 401


async def test_each_of_several_is_taken() -> None:
    assert [await _status((TOKEN, OTHER), "/v1/stage", each.encode()) for each in (TOKEN, OTHER)] == [200, 200]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"])
async def test_health_is_open(path: str) -> None:
    assert await _status((TOKEN,), path) == 200


@pytest.mark.parametrize(
    "path", ["/metrics", "/v1/stage", "/v2/health/live/../../models/x/infer", "/livez/", "//livez"]
)
async def test_nothing_else_is(path: str) -> None:
    assert await _status((TOKEN,), path) == 401


@pytest.mark.parametrize(
    ("setting", "tokens"),
    [(None, ()), (TOKEN, (TOKEN,)), (f"{TOKEN},{OTHER}", (TOKEN, OTHER)), (f" {TOKEN} , {OTHER}\n", (TOKEN, OTHER))],
    ids=["none", "one", "two", "spaces"],
)
def test_the_first_is_sent_and_all_are_taken(setting: str | None, tokens: tuple[str, ...]) -> None:
    assert read_tokens(None if setting is None else SecretStr(setting)) == tokens


_BAD = {
    "empty": "",
    "short": "secret",
    "one empty": f"{TOKEN},",
    "space": "two words and more of them",
    "line break": "x" * 16 + "\r\nx-other: y",
    "not ascii": "ä" * 20,
    "endless": "x" * 2000,
}


@pytest.mark.parametrize("setting", _BAD.values(), ids=_BAD)
def test_what_cannot_be_a_token_is_one_line_that_does_not_print_it(setting: str) -> None:
    with pytest.raises(SetupError, match="SPLITWAY_SERVICE_TOKEN") as caught:
        read_tokens(SecretStr(setting))
    assert len(caught.value.detail.splitlines()) == 1
    assert not setting or setting not in caught.value.detail
