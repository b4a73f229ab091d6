"""What web pages of others have a browser send to a gateway or a stage on this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.splitway.runtime.stage_process import served

EVIL = {"origin": "http://evil.example"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with served("gateway", {}) as (url, _):
        yield url


@pytest.fixture(scope="module")
def stage(models: Path) -> Iterator[str]:
    with served("classifier", {"SPLITWAY_MODELS": str(models)}) as (url, _):
        yield url


def _post(url: str, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{url}{path}", content=b"{}", headers=named, trust_env=False)


@pytest.mark.parametrize(
    "said", [EVIL, {"origin": "null"}, {"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}]
)
@pytest.mark.parametrize("path", ["/v1/classify", "/v2/models/pipeline/infer", "/anything"])
def test_they_are_refused_in_the_route_s_own_form(gateway: str, path: str, said: dict[str, str]) -> None:
    reply = _post(gateway, path, **said)
    assert reply.status_code == 403
    if path.startswith("/v2"):
        assert list(reply.json()) == ["error"]
        assert "SPLITWAY_ORIGINS" in reply.json()["error"]
    else:
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["code"] == "forbidden"


@pytest.mark.parametrize("path", ["/v2/models/classifier/infer", "/v2/repository/models/classifier/unload"])
def test_so_they_are_by_a_stage(stage: str, path: str) -> None:
    reply = _post(stage, path, **EVIL)
    assert reply.status_code == 403
    assert "evil.example" in reply.json()["error"]


def test_nothing_of_the_body_is_waited_for(gateway: str) -> None:
    host, port = gateway.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as browser:
        lines = ("POST /v1/classify HTTP/1.1", f"host: {host}:{port}", "origin: http://evil.example")
        browser.sendall("\r\n".join([*lines, "content-length: 99", "", ""]).encode())
        assert browser.recv(4096).startswith(b"HTTP/1.1 403")


def test_its_own_page_is_answered(gateway: str) -> None:
    for said in ({"origin": gateway}, {"origin": gateway, "sec_fetch_site": "same-origin"}, {}):
        assert _post(gateway, "/v2/models/pipeline/infer", **said).status_code == 400


def test_what_only_reads_is_answered(gateway: str) -> None:
    assert httpx.get(f"{gateway}/livez", headers=EVIL, trust_env=False).status_code == 200


def test_a_page_says_once_where_it_is_from(gateway: str) -> None:
    twice = [("origin", gateway), ("origin", "http://evil.example")]
    reply = httpx.post(f"{gateway}/v1/classify", content=b"{}", headers=twice, trust_env=False)
    assert (reply.status_code, json.loads(reply.content)["code"]) == (400, "invalid_input")
