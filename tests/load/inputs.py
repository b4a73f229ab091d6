"""What each service is asked under load, and what a right answer to it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from splitway.cli.credentials import gateway_headers, stage_headers
from splitway.errors import InvalidInput, SetupError
from splitway.wire.messages import FEATURE_SPACE, InferRequest
from splitway.wire.tensor import Tensor, TensorSpec
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response

PICTURE = Path(__file__).parents[2] / "benchmarks" / "pictures" / "cat-500x375.jpg"
TOP_K = 5
_FIRST_ANSWER_S = 15.0


@dataclass(frozen=True)
class Question:
    """One request that is sent again and again."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(repr=False)
    """What shows who asks among them, where SPLITWAY_API_KEY or SPLITWAY_SERVICE_TOKEN is set."""
    read: Callable[[bytes, str | None], None]
    """Takes an answer's body and its header-length header; raises InvalidInput unless it has the right shape."""

    def fault(self, status: int, body: bytes, header_length: str | None) -> str:
        """Say what is wrong with an answer; nothing, if it is right."""
        if status != 200:
            return f"{status or 'no answer'} {_said(body)}".rstrip()
        try:
            self.read(body, header_length)
        except InvalidInput as error:
            return f"200, but {error.detail}"
        return ""


def _said(body: bytes) -> str:
    """An error's code, which unlike its sentence is the same each time; else the start of what was sent."""
    try:
        return str(orjson.loads(body)["code"])
    except (ValueError, LookupError, TypeError):
        return body[:80].decode(errors="replace")


def gateway(_url: str) -> Question:
    """A JPEG picture for the whole chain."""
    headers = {"content-type": "image/jpeg", **gateway_headers()}
    return Question(f"/v1/classify?top_k={TOP_K}", PICTURE.read_bytes(), headers, _read_classes)


def feature_extractor(url: str) -> Question:
    """The same picture as a BYTES tensor."""
    _, output = _metadata(url, "feature_extractor")
    return _inference("feature_extractor", Tensor.of_bytes("image", [PICTURE.read_bytes()]), output)


def classifier(url: str) -> Question:
    """Random features that say they are of the feature space which this head takes."""
    metadata, output = _metadata(url, "classifier")
    width = int(metadata["inputs"][0]["shape"][-1])
    features = np.random.default_rng(5).random((1, width), dtype=np.float32)
    space = {FEATURE_SPACE: metadata["parameters"][FEATURE_SPACE]}
    return _inference("classifier", Tensor.of_array("features", features, space), output)


_QUESTIONS = {"gateway": gateway, "feature_extractor": feature_extractor, "classifier": classifier}
SERVICES = tuple(_QUESTIONS)


def question(service: str, url: str) -> Question:
    """Make a service's question and see it answered once.

    Raises:
        SetupError: nothing answers there, or not as this service does.
    """
    try:
        made = _QUESTIONS[service](url)
        reply = httpx.post(
            f"{url}{made.path}", content=made.body, headers=made.headers, timeout=_FIRST_ANSWER_S, trust_env=False
        )
    except httpx.HTTPStatusError as error:
        raise SetupError(f"{url} is no {service}: {error.request.url} gave {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SetupError(f"{url} does not answer ({error}): start it first, or leave the host out") from error
    except (ValueError, LookupError, TypeError) as error:
        raise SetupError(f"{url} is no {service}: its metadata cannot be read") from error
    if fault := made.fault(reply.status_code, reply.content, reply.headers.get(HEADER_LENGTH)):
        raise SetupError(f"{url} does not answer as a {service} should: {fault}")
    return made


def _metadata(url: str, model: str) -> tuple[dict[str, Any], TensorSpec]:
    """A model's metadata, and what it gives."""
    reply = httpx.get(f"{url}/v2/models/{model}", headers=stage_headers(), timeout=_FIRST_ANSWER_S, trust_env=False)
    reply.raise_for_status()
    metadata: dict[str, Any] = reply.json()
    output = metadata["outputs"][0]
    return metadata, TensorSpec(output["name"], output["datatype"], tuple(output["shape"]))


def _inference(model: str, tensor: Tensor, output: TensorSpec) -> Question:
    body, length = build_request(InferRequest((tensor,), parameters={"binary_data_output": True}))

    def read(answer: bytes, header_length: str | None) -> None:
        given = parse_response(answer, header_length).output(output.name)
        output.check(given)
        if given.rows != 1:
            raise InvalidInput(f"one row was asked for, {given.rows} came")

    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: length, **stage_headers()}
    return Question(f"/v2/models/{model}/infer", body, headers, read)


def _read_classes(answer: bytes, _header_length: str | None) -> None:
    try:
        classes = orjson.loads(answer)["predictions"]
        confidences = [float(each["confidence"]) for each in classes if each["label"]]
    except (ValueError, LookupError, TypeError) as error:
        raise InvalidInput("its predictions cannot be read") from error
    if len(confidences) != TOP_K or not all(0 <= confidence <= 1 for confidence in confidences):
        raise InvalidInput(f"not {TOP_K} classes with a label and a confidence from 0 to 1")
