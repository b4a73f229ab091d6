"""A stage's app over real bundles: what is bad gets a 4xx with a sentence, never a 5xx, and the stage goes on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splitway.bundle import Bundle
from splitway.http.body import pack
from splitway.runtime.inprocess import InProcessStage
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response
from testkit.support import infer, picture, random_pixels

EXTRACT = "/v2/models/feature_extractor/infer"
CLASSIFY = "/v2/models/classifier/infer"


@pytest.fixture(autouse=True)
def still_serves(extractor: httpx.Client, classifier: httpx.Client) -> Iterator[None]:
    yield
    for client in (extractor, classifier):
        assert client.get("/v2/health/ready").json() == {"ready": True}


def _error(reply: httpx.Response) -> str:
    assert reply.headers["content-type"] == "application/json"
    content = reply.json()
    assert set(content) == {"error"}
    assert len(content["error"]) > 15
    return str(content["error"])


def _features(rows: int = 1, **parameters: Any) -> Tensor:
    return Tensor.of_array("features", np.ones((rows, 1280), np.float32), parameters)


def _send(client: httpx.Client, path: str, *tensors: Tensor, **parameters: Any) -> httpx.Response:
    body, length = build_request(InferRequest(tensors, parameters=parameters))
    return client.post(path, content=body, headers={HEADER_LENGTH: length})


def _json_tensor(**entry: Any) -> bytes:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 224, 224, 3], "data": []} | entry
    return json.dumps({"inputs": [tensor]}).encode()


BAD_FOR_EXTRACTOR: dict[str, tuple[bytes, str]] = {
    "json 100k deep": (b"[" * 100_000, "JSON cannot be read"),
    "data 100k deep": (b'{"inputs":[{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", "JSON cannot be read"),
    "shape overflow": (_json_tensor(shape=[1, 2**31, 2**31]), "elements"),
    "shape overflow behind a zero": (_json_tensor(shape=[0, 2**64 - 1]), "elements"),
    "sizes do not add up": (_json_tensor(data=[1, 2, 3]), "takes 150528 elements, but data has 3"),
    "wrong dtype": (_json_tensor(datatype="FP32", shape=[0], data=[]), "must be UINT8"),
    "wrong shape": (_json_tensor(shape=[1, 3], data=[1, 2, 3]), "must have shape"),
    "no rows": (_json_tensor(shape=[0, 224, 224, 3]), "has no rows"),
    "unknown input": (_json_tensor(name="words", shape=[0]), "'image' or 'pixels'"),
    "not a picture": (_json_tensor(name="image", datatype="BYTES", shape=[1], data=["hello"]), "not a JPEG"),
}


@pytest.mark.parametrize(("body", "says"), BAD_FOR_EXTRACTOR.values(), ids=BAD_FOR_EXTRACTOR.keys())
def test_bad_tensors_are_refused(extractor: httpx.Client, body: bytes, says: str) -> None:
    reply = extractor.post(EXTRACT, content=body)
    assert reply.status_code == 400
    assert says in _error(reply)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(classifier: httpx.Client, head_bundle: Bundle, value: float) -> None:
    tensor = _features(3, feature_space=head_bundle.manifest.feature_space)
    tensor.array[1, 7] = value
    reply = _send(classifier, CLASSIFY, tensor)
    assert reply.status_code == 400
    assert "NaN or infinity" in _error(reply)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"feature_space": "fs:0123456789abcdef"}, {"feature_space": 7}],
    ids=["missing", "foreign", "odd"],
)
def test_foreign_features_are_refused_with_409(classifier: httpx.Client, parameters: dict[str, Any]) -> None:
    reply = _send(classifier, CLASSIFY, _features(**parameters))
    assert reply.status_code == 409
    assert "this head was trained on fs:" in _error(reply)


def test_foreign_features_of_another_width_are_refused_with_409_too(classifier: httpx.Client) -> None:
    tensor = Tensor.of_array("features", np.ones((1, 512), np.float32), {"feature_space": "fs:0123456789abcdef"})
    assert _send(classifier, CLASSIFY, tensor).status_code == 409


def test_a_body_that_does_not_arrive_in_time_is_408(extractor: httpx.Client) -> None:
    def slowly() -> Iterator[bytes]:
        yield b"{"
        time.sleep(0.5)
        yield b"}"

    reply = extractor.post(EXTRACT, content=slowly(), headers={"x-request-timeout-ms": "100"})
    assert reply.status_code == 408
    assert "did not arrive" in _error(reply)


def test_a_feature_space_on_the_request_will_do_unless_the_tensor_contradicts(
    classifier: httpx.Client, head_bundle: Bundle
) -> None:
    space = head_bundle.manifest.feature_space
    assert _send(classifier, CLASSIFY, _features(), feature_space=space).status_code == 200
    contradiction = _send(classifier, CLASSIFY, _features(feature_space="fs:0123456789abcdef"), feature_space=space)
    assert contradiction.status_code == 409


def test_limits_are_413(extractor: httpx.Client, classifier: httpx.Client, head_bundle: Bundle) -> None:
    rows = _features(65, feature_space=head_bundle.manifest.feature_space)
    assert "65 rows" in _error(_send(classifier, CLASSIFY, rows))
    huge = Tensor.of_bytes("image", [picture("1", (6000, 5000))])
    reply = _send(extractor, EXTRACT, huge)
    assert reply.status_code == 413
    assert "6000 x 5000" in _error(reply)
    body = extractor.post(EXTRACT, content=bytes(33 * 1024 * 1024))
    assert body.status_code == 413
    streamed = extractor.post(EXTRACT, content=(bytes(1 << 20) for _ in range(33)))
    assert streamed.status_code == 413


def test_packed_bodies(extractor: httpx.Client) -> None:
    body, length = build_request(InferRequest((Tensor.of_array("pixels", random_pixels(1)),)))
    plain = extractor.post(EXTRACT, content=body, headers={HEADER_LENGTH: length})
    for encoding in ("gzip", "deflate"):
        headers = {HEADER_LENGTH: length, "content-encoding": encoding, "accept-encoding": encoding}
        packed = extractor.post(EXTRACT, content=pack(body, encoding), headers=headers)
        assert packed.headers["content-encoding"] == encoding
        assert packed.json() == plain.json()
    bomb = extractor.post(EXTRACT, content=pack(bytes(100_000_000), "gzip"), headers={"content-encoding": "gzip"})
    assert bomb.status_code == 413
    assert extractor.post(EXTRACT, content=b"x", headers={"content-encoding": "br"}).status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/feature_extractor/versions/7", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", EXTRACT, 405),
        ("DELETE", "/v2", 405),
    ],
)
def test_routes_that_are_not_there(extractor: httpx.Client, method: str, path: str, status: int) -> None:
    reply = extractor.request(method, path, content=_json_tensor() if method == "POST" else None)
    assert reply.status_code == status
    _error(reply)


def test_the_protocols_routes(extractor: httpx.Client) -> None:
    for path in ("/v2", "/v2/"):
        reply = extractor.get(path)
        assert reply.status_code == 200
        assert "binary_tensor_data" in reply.json()["extensions"]
    for path in ("/v2/models/feature_extractor", "/v2/models/feature_extractor/versions/1"):
        metadata = extractor.get(path).json()
        assert metadata["outputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 1280]}]
        assert extractor.get(f"{path}/ready").status_code == 200
    assert extractor.get("/livez").json() == {"live": True}
    assert extractor.get("/readyz").json()["ready"] is True


def test_an_unknown_output_is_refused(extractor: httpx.Client) -> None:
    body = json.loads(_json_tensor(name="image", datatype="BYTES", shape=[1], data=["x"])) | {
        "outputs": [{"name": "y"}]
    }
    reply = extractor.post(EXTRACT, json=body)
    assert reply.status_code == 400
    assert "no output 'y'; this model gives features" in _error(reply)


def test_time_that_is_up_is_504_and_nonsense_400(extractor: httpx.Client) -> None:
    late = extractor.post(EXTRACT, content=_json_tensor(data=[0] * 150528), headers={"x-request-timeout-ms": "0.001"})
    assert late.status_code == 504
    odd = extractor.post(EXTRACT, content=_json_tensor(), headers={"x-request-timeout-ms": "soon"})
    assert odd.status_code == 400


def test_features_over_the_wire_equal_in_process_features_bit_for_bit(
    extractor: httpx.Client, extractor_bundle: Bundle
) -> None:
    pixels = random_pixels(3)
    expected = InProcessStage(extractor_bundle)({"pixels": pixels})["features"]
    assert expected.std() > 0.1
    response = infer(extractor, "feature_extractor", Tensor.of_array("pixels", pixels))
    features = response.output("features")
    assert features.array.tobytes() == expected.tobytes()
    assert features.parameters["feature_space"] == extractor_bundle.manifest.feature_space
    as_json = extractor.post(
        EXTRACT,
        json={
            "inputs": [
                {"name": "pixels", "datatype": "UINT8", "shape": [3, 224, 224, 3], "data": pixels.ravel().tolist()}
            ]
        },
    )
    assert parse_response(as_json.content, None).output("features").array.tobytes() == expected.tobytes()


def test_a_picture_among_others_gives_the_same_bits(extractor: httpx.Client, samples: Path) -> None:
    pictures = [path.read_bytes() for path in sorted(samples.glob("*.jpg"))]
    together = infer(extractor, "feature_extractor", Tensor.of_bytes("image", pictures)).output("features").array
    for index, data in enumerate(pictures):
        alone = infer(extractor, "feature_extractor", Tensor.of_bytes("image", [data])).output("features").array
        assert alone.tobytes() == together[index : index + 1].tobytes()


def test_metrics_count_what_happened(extractor: httpx.Client) -> None:
    def count(outcome: str) -> float:
        text = extractor.get("/metrics").text
        found = re.search(
            rf'splitway_stage_requests_total{{outcome="{outcome}",stage="feature_extractor"}} (\S+)', text
        )
        return float(found.group(1)) if found else 0.0

    before = count("ok"), count("invalid_input")
    infer(extractor, "feature_extractor", Tensor.of_array("pixels", random_pixels(1)))
    _send(extractor, EXTRACT, Tensor.of_bytes("image", [b"hello"]))
    assert (count("ok"), count("invalid_input")) == (before[0] + 1, before[1] + 1)


def test_the_request_is_named_in_the_reply(extractor: httpx.Client) -> None:
    body, length = build_request(InferRequest((Tensor.of_array("pixels", random_pixels(1)),), id="abc"))
    reply = extractor.post(EXTRACT, content=body, headers={HEADER_LENGTH: length}).json()
    assert (reply["id"], reply["model_name"], reply["model_version"]) == ("abc", "feature_extractor", "1")


def test_its_description_tells_first_how_a_model_is_run(classifier: httpx.Client) -> None:
    model, repository = "/v2/models/{model}", "/v2/repository"
    version, of_model = f"{model}/versions/{{version}}", f"{repository}/models/{{model}}"
    assert list(classifier.get("/openapi.json").json()["paths"]) == [
        *(f"{model}/infer", f"{version}/infer", "/v2", "/v2/", "/v2/health/live", "/v2/health/ready"),
        *(model, f"{model}/ready", version, f"{version}/ready"),
        *("/v1/stage", f"{repository}/index", f"{of_model}/index", f"{of_model}/load", f"{of_model}/unload"),
        *("/livez", "/readyz", "/metrics"),
    ]
