"""tritonclient over HTTP, unchanged and with its defaults, against both services and the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from splitway.bundle import Bundle
from splitway.local.launch import LocalPipeline
from splitway.runtime.inprocess import InProcessStage
from testkit.support import random_pixels

tritonhttp = pytest.importorskip("tritonclient.http")

STAGES = {"gateway": "pipeline", "feature_extractor": "feature_extractor", "classifier": "classifier"}


@pytest.fixture
def clients(pipeline: LocalPipeline) -> Iterator[dict[str, Any]]:
    """A client per service."""
    made = {
        stage: tritonhttp.InferenceServerClient(pipeline.of(stage)[0].url.removeprefix("http://")) for stage in STAGES
    }
    yield made
    for client in made.values():
        client.close()


def _image(data: bytes) -> Any:
    tensor = tritonhttp.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], dtype=np.object_))
    return tensor


def _numbers(name: str, array: np.ndarray[Any, Any], datatype: str) -> Any:
    tensor = tritonhttp.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


@pytest.mark.parametrize("stage", STAGES)
def test_health_and_metadata(clients: dict[str, Any], stage: str) -> None:
    client, model = clients[stage], STAGES[stage]
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.is_model_ready(model, "1")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata(model)
    assert metadata["name"] == model
    assert metadata["inputs"]
    assert metadata["outputs"][0]["datatype"] == "FP32"


def test_the_pipeline_infers(clients: dict[str, Any], cat: bytes) -> None:
    result = clients["gateway"].infer("pipeline", [_image(cat)])
    assert result.as_numpy("probabilities").shape == (1, 1000)
    assert result.as_numpy("probabilities").argmax() == 285


def test_the_pipeline_gives_classes(clients: dict[str, Any], cat: bytes) -> None:
    outputs = [tritonhttp.InferRequestedOutput("probabilities", class_count=3)]
    result = clients["gateway"].infer("pipeline", [_image(cat)], outputs=outputs)
    classes = [element.decode() for element in result.as_numpy("probabilities")[0]]
    assert classes[0].split(":", 2)[1:] == ["285", "Egyptian cat"]


def test_the_stages_infer_and_agree_with_the_pipeline(clients: dict[str, Any], cat: bytes) -> None:
    extracted = clients["feature_extractor"].infer("feature_extractor", [_image(cat)])
    space = extracted.get_response()["parameters"]["feature_space"]
    features = _numbers("features", extracted.as_numpy("features"), "FP32")
    classified = clients["classifier"].infer("classifier", [features], parameters={"feature_space": space})
    whole = clients["gateway"].infer("pipeline", [_image(cat)])
    assert classified.as_numpy("probabilities").tobytes() == whole.as_numpy("probabilities").tobytes()


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_pixels_in_json_and_binary_packed_and_plain(
    clients: dict[str, Any], extractor_bundle: Bundle, packing: str | None
) -> None:
    pixels = random_pixels(2)
    expected = InProcessStage(extractor_bundle)({"pixels": pixels})["features"]
    for binary in (True, False):
        tensor = tritonhttp.InferInput("pixels", list(pixels.shape), "UINT8")
        tensor.set_data_from_numpy(pixels, binary_data=binary)
        result = clients["feature_extractor"].infer(
            "feature_extractor",
            [tensor],
            outputs=[tritonhttp.InferRequestedOutput("features", binary_data=binary)],
            request_id="7",
            request_compression_algorithm=packing,
            response_compression_algorithm=packing,
        )
        assert result.as_numpy("features").tobytes() == expected.tobytes()
        assert result.get_response()["id"] == "7"


def test_errors_are_readable(clients: dict[str, Any]) -> None:
    from tritonclient.utils import InferenceServerException

    features = _numbers("features", np.zeros((1, 1280), np.float32), "FP32")
    with pytest.raises(InferenceServerException, match=r"\[409\].*feature space"):
        clients["classifier"].infer("classifier", [features])
    with pytest.raises(InferenceServerException, match=r"\[400\].*not a JPEG"):
        clients["gateway"].infer("pipeline", [_image(b"hello")])
    with pytest.raises(InferenceServerException, match=r"\[404\].*only 'pipeline'"):
        clients["gateway"].infer("other", [_image(b"hello")])


def test_asynchronous_requests(clients: dict[str, Any], cat: bytes) -> None:
    pending = [clients["gateway"].async_infer("pipeline", [_image(cat)]) for _ in range(4)]
    answers = {request.get_result().as_numpy("probabilities").tobytes() for request in pending}
    assert len(answers) == 1
