"""Every 4xx of the design's table, sent through the gateway to real services."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splitway.bundle import read_manifest, write_manifest
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import LogBook, picture

JPEG = {"content-type": "image/jpeg"}
Send = Callable[[httpx.Client], httpx.Response]


def _post(content: bytes = b"x", path: str = "/v1/classify", headers: dict[str, str] | None = None) -> Send:
    return lambda client: client.post(path, content=content, headers=JPEG | (headers or {}))


def _multipart(**files: Any) -> Send:
    return lambda client: client.post("/v1/classify", files=files)


def _json(content: bytes) -> Send:
    return _post(content, headers={"content-type": "application/json"})


REFUSED: dict[str, tuple[Send, int, str, str | None]] = {
    "not an image": (_post(b"hello"), 400, "invalid_input", "feature_extractor"),
    "truncated image": (
        _post(picture(size=(300, 200), format_="JPEG")[:900]),
        400,
        "invalid_input",
        "feature_extractor",
    ),
    "empty": (_post(b""), 400, "invalid_input", None),
    "bad base64": (_json(b'{"image": "%%%"}'), 400, "invalid_input", None),
    "no image in the json": (_json(b'{"picture": ""}'), 400, "invalid_input", None),
    "json 100k deep": (_json(b"[" * 100_000), 400, "invalid_input", None),
    "multipart without the field": (_multipart(file=("a.jpg", b"x")), 400, "invalid_input", None),
    "multipart without a boundary": (
        _post(headers={"content-type": "multipart/form-data"}),
        400,
        "invalid_input",
        None,
    ),
    "multipart cut short": (
        _post(b"--b\r\ncontent-disp", headers={"content-type": "multipart/form-data; boundary=b"}),
        400,
        "invalid_input",
        None,
    ),
    "top_k of 0": (_post(path="/v1/classify?top_k=0"), 400, "invalid_input", None),
    "top_k of 101": (_post(path="/v1/classify?top_k=101"), 400, "invalid_input", None),
    "top_k of many": (_post(path="/v1/classify?top_k=many"), 400, "invalid_input", None),
    "bad time limit": (_post(headers={"x-request-timeout-ms": "soon"}), 400, "invalid_input", None),
    "unknown route": (_post(path="/v1/nope"), 404, "not_found", None),
    "wrong method": (lambda client: client.get("/v1/classify"), 405, "method_not_allowed", None),
    "too many bytes": (_post(bytes(10 * 1024 * 1024 + 1)), 413, "too_large", None),
    "body over its limit": (_post(bytes(17 * 1024 * 1024)), 413, "too_large", None),
    "too many pixels": (_post(picture("1", (6000, 5000))), 413, "too_large", None),
    "packed": (_post(headers={"content-encoding": "gzip"}), 415, "unsupported_media_type", None),
    "other type": (_post(headers={"content-type": "image/gif"}), 415, "unsupported_media_type", None),
    "no type": (lambda client: client.post("/v1/classify", content=b"x"), 415, "unsupported_media_type", None),
    "other encoding": (_post(headers={"content-encoding": "br"}), 415, "unsupported_media_type", None),
}


def _check(reply: httpx.Response, status: int, code: str, stage: str | None) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = reply.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "stage", "retryable", "id"}
    assert (reply.status_code, problem["status"], problem["code"], problem["stage"]) == (status, status, code, stage)
    assert len(problem["detail"]) > 15
    assert problem["id"] == reply.headers["x-request-id"]
    return problem


@pytest.mark.parametrize(("send", "status", "code", "stage"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(gateway: httpx.Client, send: Send, status: int, code: str, stage: str | None) -> None:
    assert _check(send(gateway), status, code, stage)["retryable"] is False
    assert gateway.get("/readyz").status_code == 200


V2_REFUSED: dict[str, tuple[str, InferRequest, int]] = {
    "unknown model": ("other", InferRequest((Tensor.of_bytes("image", [b"x"]),)), 404),
    "not an image": ("pipeline", InferRequest((Tensor.of_bytes("image", [b"x"]),)), 400),
    "other input": ("pipeline", InferRequest((Tensor.of_bytes("picture", [b"x"]),)), 400),
    "other type": ("pipeline", InferRequest((Tensor.of_array("image", np.zeros((1,), np.float32)),)), 400),
    "too many pictures": ("pipeline", InferRequest((Tensor.of_bytes("image", [b"x"] * 65),)), 413),
}


@pytest.mark.parametrize(("model", "request_", "status"), V2_REFUSED.values(), ids=V2_REFUSED.keys())
def test_refusals_in_the_protocols_form(gateway: httpx.Client, model: str, request_: InferRequest, status: int) -> None:
    body, length = build_request(request_)
    reply = gateway.post(f"/v2/models/{model}/infer", content=body, headers={HEADER_LENGTH: length})
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json()) == {"error"}


@pytest.fixture(scope="module")
def odd_pipeline(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPipeline]:
    """A head of another feature space, and a gateway that takes two requests a second from one client."""
    folder = Path(shutil.copytree(models, tmp_path_factory.mktemp("odd") / "models"))
    head = folder / "classifier" / "1"
    write_manifest(head, read_manifest(head).model_copy(update={"feature_space": "fs:0123456789abcdef"}))
    plan = LaunchPlan(folder, port=0, run_file=None, environment={"SPLITWAY_RATE_PER_SECOND": "2"})
    with LocalPipeline(plan, LogBook().line) as running:
        assert any("different feature spaces" in reason for reason in running.until_ready(60))
        yield running


def test_a_head_on_foreign_features_is_409_and_readiness_says_so(odd_pipeline: LocalPipeline, cat: bytes) -> None:
    with httpx.Client(base_url=odd_pipeline.gateway.url, trust_env=False) as client:
        problem = _check(_post(cat)(client), 409, "feature_space_mismatch", "classifier")
        ready = client.get("/readyz")
    assert "fs:0123456789abcdef" in problem["detail"]
    assert ready.status_code == 503
    assert "different feature spaces" in ready.json()["stages"]["classifier"]


def test_a_client_over_its_rate_is_429_and_told_when_to_come_back(odd_pipeline: LocalPipeline, cat: bytes) -> None:
    with httpx.Client(base_url=odd_pipeline.gateway.url, trust_env=False) as client:
        replies = [_post(cat)(client) for _ in range(6)]
        time.sleep(1.1)
        body, length = build_request(InferRequest((Tensor.of_bytes("image", [cat]),)))
        path = "/v2/models/pipeline/infer"
        protocol = [client.post(path, content=body, headers={HEADER_LENGTH: length}).status_code for _ in range(6)]
    assert 429 in protocol
    limited = [reply for reply in replies if reply.status_code == 429]
    assert limited
    assert _check(limited[0], 429, "rate_limited", None)["retryable"] is True
    assert int(limited[0].headers["retry-after"]) >= 1


def test_the_problem_is_json_that_any_client_reads(gateway: httpx.Client) -> None:
    assert json.loads(_post(b"hello")(gateway).content)["type"] == "urn:splitway:error:invalid_input"
