"""A stage that has been taken over: where its replies would lead the gateway, and how much they would make it read."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from splitway.local.launch import LocalPipeline
from testkit.support import until
from tests.security.between import gateway_process, http_server

JPEG = {"content-type": "image/jpeg"}
MIB = 1024 * 1024
MAX_REPLY_BYTES = 4 * MIB
Lie = Callable[[BaseHTTPRequestHandler], None]


def _reply(to: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name.replace("_", "-"), value)
    to.send_header("content-length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)


def _endless(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.send_header("transfer-encoding", "chunked")
    to.end_headers()
    for _ in range(4096):  # 4 GiB, unless somebody hangs up
        to.wfile.write(b"100000\r\n" + bytes(MIB) + b"\r\n")


def _bomb(to: BaseHTTPRequestHandler) -> None:
    assert to.headers["accept-encoding"] == "identity"
    packed = gzip.compress(bytes(200 * MIB), 1)
    assert len(packed) < MAX_REPLY_BYTES
    _reply(to, 200, packed, content_encoding="gzip", content_type="application/json")


def _endless_headers(to: BaseHTTPRequestHandler) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(200_000):  # 200 MB
        to.wfile.write(b"x-%d: " % number + b"a" * 1000 + b"\r\n")


class _Before:
    """The real head of a pipeline for all that the gateway asks before work, and a lie instead of the work."""

    def __init__(self, real: str, lie: Lie) -> None:
        self._real = real
        self._lie = lie

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        if request.command == "POST":
            self._lie(request)
            return
        reply = httpx.get(f"{self._real}{request.path}", trust_env=False)
        _reply(request, reply.status_code, reply.content, content_type=reply.headers["content-type"])


def _resident_kib(process: subprocess.Popen[str]) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _settings(pipeline: LocalPipeline, classifier: str) -> dict[str, str]:
    extractor = pipeline.of("feature_extractor")[0].url
    limits = {"SPLITWAY_MAX_REPLY_BYTES": str(MAX_REPLY_BYTES), "SPLITWAY_RETRY_SHARE": "0"}
    return {"SPLITWAY_FEATURE_EXTRACTOR": extractor, "SPLITWAY_CLASSIFIER": classifier, **limits}


def _classify(url: str, picture: bytes) -> httpx.Response:
    return httpx.post(f"{url}/v1/classify", content=picture, headers=JPEG, timeout=30, trust_env=False)


def _ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200


@pytest.mark.parametrize("lie", [_endless, _bomb, _endless_headers], ids=["endless", "bomb", "endless headers"])
def test_a_reply_takes_no_more_memory_than_is_allowed(pipeline: LocalPipeline, cat: bytes, lie: Lie) -> None:
    real = pipeline.of("classifier")[0].url
    with http_server(_Before(real, lie)) as false, gateway_process(_settings(pipeline, false)) as (url, process):
        until(lambda: _ready(url), 10)
        before = _resident_kib(process)
        reply = _classify(url, cat)
        assert (reply.status_code, reply.json()["code"]) == (502, "bad_stage_answer")
        assert _resident_kib(process) - before < 40 * 1024
        assert httpx.get(f"{url}/livez", trust_env=False).status_code == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(pipeline: LocalPipeline, cat: bytes, status: int) -> None:
    """Else a stage could make the gateway ask whatever it reaches: another service, or where keys are handed out."""
    led: list[str] = []
    real = pipeline.of("classifier")[0].url

    def trap(request: BaseHTTPRequestHandler) -> None:
        led.append(request.path)
        _reply(request, 200, b"{}")

    with http_server(trap) as elsewhere:

        def lie(request: BaseHTTPRequestHandler) -> None:
            _reply(request, status, b"", location=f"{elsewhere}/latest/meta-data")

        with http_server(_Before(real, lie)) as false:
            httpx.post(f"{false}/v2", follow_redirects=True, trust_env=False)
            assert led == ["/latest/meta-data"]  # as a client does that follows
            with gateway_process(_settings(pipeline, false)) as (url, _):
                until(lambda: _ready(url), 10)
                assert _classify(url, cat).status_code == 502
    assert led == ["/latest/meta-data"]


def test_no_proxy_is_taken_from_the_environment(
    pipeline: LocalPipeline, cat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever sets a variable, for another purpose maybe, reads every picture."""
    asked: list[str] = []

    def proxy(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        _reply(request, 502, b"")

    with http_server(proxy) as trap:
        names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
        for name in names:
            monkeypatch.setenv(name, trap)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        classifier = pipeline.of("classifier")[0].url
        httpx.get(f"{classifier}/livez")
        assert len(asked) == 1  # as a client does that looks at the environment
        with gateway_process(_settings(pipeline, classifier)) as (url, _):
            until(lambda: _ready(url), 10)
            assert _classify(url, cat).status_code == 200
    assert len(asked) == 1
