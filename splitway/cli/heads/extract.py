"""Features of many pictures, from stages that run or from bundles in this process: in small batches, a few at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from splitway.api.picture_files import read_picture
from splitway.api.pipeline import load_chain
from splitway.bundle_graph import Chain
from splitway.cli.console import Steps
from splitway.cli.credentials import IDENTITY, SERVICE_TOKEN, only_to, stage_client
from splitway.errors import InvalidInput, RequestError, SetupError
from splitway.manifest import TensorEntry
from splitway.names import IMAGE, TIMEOUT_HEADER
from splitway.schemas.message import read_answer
from splitway.schemas.protocol import ErrorMessage, ModelMetadata, ModelTensor
from splitway.wire.messages import FEATURE_SPACE, InferRequest, InferResponse
from splitway.wire.tensor import Arrays, Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response

_TIMEOUT_S = 30.0
_ROWS = 8
_BYTES = 16 * 1024 * 1024
"""Of one request; pictures that are more together go one by one."""
_AT_ONCE = 3
_TRIES = 4
_LATER = (429, 503, 504)
"""Answers after which the same request may succeed."""


@dataclass(frozen=True)
class Hop:
    """One stage on the way to the features: its model's name and where it runs."""

    model: str
    url: str
    pause_s: float = 0.5
    """Before it is asked again where it is overloaded."""


@dataclass(frozen=True)
class Origin:
    """What made features, and the space they live in."""

    versions: tuple[str, ...]
    feature_space: str


@dataclass(frozen=True)
class Extracted:
    """Features by name, a row for each picture that could be read; all of one origin."""

    features: Arrays
    files: tuple[Path, ...]
    """The pictures, in the rows' order."""
    origin: Origin
    unread: Mapping[Path, str] = field(default_factory=dict)
    """The other pictures and what was said of them."""


Ask = Callable[[Sequence[bytes]], tuple[Arrays, Origin]]
"""Gives the features of a few pictures, a row for each; raises InvalidInput if one of them cannot be read."""


def extract(hops: Sequence[Hop], files: Sequence[Path], steps: Steps) -> Extracted:
    """Send every picture through the stages.

    Raises:
        SetupError: a stage cannot be reached or fails, the first takes no pictures, no picture could be read, or the
            answers are not all of one version and feature space.
    """
    with stage_client(_TIMEOUT_S + 5) as client:
        _check_takes_pictures(client, hops[0])
        return _extract(partial(_through, client, hops), files, steps)


def extract_in_process(chain: Chain, files: Sequence[Path], steps: Steps) -> Extracted:
    """Send every picture through the bundles before the heads, in this process: the same features, bit for bit.

    Raises:
        BundleError: a bundle cannot be loaded.
        SetupError: the extractor takes no pictures, or none could be read.
        EngineFailed: a model cannot be run.
    """
    if chain.extractor.manifest.preprocessing is None:
        _need_pictures(str(chain.extractor.folder), chain.extractor.manifest.inputs)
    pipeline = load_chain(chain, heads=())
    origin = Origin(tuple(bundle.manifest.version for bundle in pipeline.bundles), pipeline.feature_space)

    def ask(pictures: Sequence[bytes]) -> tuple[Arrays, Origin]:
        try:
            return pipeline.features({IMAGE: list(pictures)}), origin
        except RequestError as error:
            raise InvalidInput(error.in_full) from error

    return _extract(ask, files, steps)


def _extract(ask: Ask, files: Sequence[Path], steps: Steps) -> Extracted:
    batches = [files[start : start + _ROWS] for start in range(0, len(files), _ROWS)]
    found: list[Extracted] = []
    unread: dict[Path, str] = {}
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for some, others in pool.map(partial(_features, ask), batches):
            found += some
            unread |= others
            _check_one_origin(found)
            steps.progress((sum(len(e.files) for e in found) + len(unread)) / len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    return _joined(found, unread)


def _check_takes_pictures(client: httpx.Client, hop: Hop) -> None:
    """Raise SetupError if a stage says that its model takes something else; what cannot be read is not judged."""
    url = f"{hop.url.rstrip('/')}/v2/models/{hop.model}"
    try:
        reply = client.get(url, extensions=only_to(hop.model, hop.url))
        inputs = read_answer(ModelMetadata, reply.content).inputs if reply.status_code == 200 else []
    except (httpx.TransportError, httpx.InvalidURL, ValueError):  # the first request tells of it
        return
    if inputs:
        _need_pictures(f"{hop.model} at {hop.url}", inputs)


def _need_pictures(extractor: str, inputs: Sequence[ModelTensor | TensorEntry]) -> None:
    """Raise SetupError for an extractor that takes something else."""
    if IMAGE not in {each.name for each in inputs}:
        takes = ", ".join(f"{each.name} {each.datatype} {list(each.shape)}" for each in inputs)
        do = "train-head needs the extractor of a model of pictures"
        raise SetupError(f"{extractor} takes {takes} and no picture: {do}")


def _joined(found: Sequence[Extracted], unread: Mapping[Path, str]) -> Extracted:
    if not found:
        file, reason = next(iter(unread.items()))
        raise SetupError(f"not one of the {len(unread)} pictures could be read; {file}: {reason}")
    features = {name: np.concatenate([each.features[name] for each in found]) for name in found[0].features}
    return Extracted(features, tuple(file for each in found for file in each.files), found[0].origin, unread)


def _check_one_origin(found: Sequence[Extracted]) -> None:
    origins = list(dict.fromkeys(each.origin for each in found))
    if len(origins) > 1:
        first, other = (f"{'/'.join(o.versions)} ({o.feature_space})" for o in origins[:2])
        raise SetupError(f"the stages changed from version {first} to {other} meanwhile; start again")


def _features(ask: Ask, files: Sequence[Path]) -> tuple[list[Extracted], dict[Path, str]]:
    """Ask for a few pictures together; for one by one where they are large, or where one of them cannot be read."""
    reason = ""
    try:
        pictures = [read_picture(file) for file in files]
    except OSError as error:
        pictures, reason = [], f"cannot be read: {error.strerror}"
    if pictures and (len(files) == 1 or sum(map(len, pictures)) <= _BYTES):
        try:
            features, origin = ask(pictures)
            return [Extracted(features, tuple(files), origin)], {}
        except InvalidInput as error:
            reason = error.detail
    if len(files) == 1:
        return [], {files[0]: reason}
    parts = [_features(ask, [file]) for file in files]
    found = [one for some, _ in parts for one in some]
    return found, {file: why for _, others in parts for file, why in others.items()}


def _through(client: httpx.Client, hops: Sequence[Hop], pictures: Sequence[bytes]) -> tuple[Arrays, Origin]:
    image = Tensor.of_bytes(IMAGE, pictures)
    tensors: tuple[Tensor, ...] = (image,)
    versions: list[str] = []
    space: object = None
    for hop in hops:
        response = _infer(client, hop, tensors)
        tensors = response.outputs
        versions.append(response.model_version)
        space = next((tensor.parameters.get(FEATURE_SPACE) for tensor in tensors), None)
        if not isinstance(space, str) or any(tensor.rows != image.rows for tensor in tensors):
            raise SetupError(f"{hop.model} at {hop.url} gives no features of a feature space: is it another service?")
    return {tensor.name: tensor.array for tensor in tensors}, Origin(tuple(versions), str(space))


def _infer(client: httpx.Client, hop: Hop, tensors: tuple[Tensor, ...]) -> InferResponse:
    """Ask one stage. Raises InvalidInput if it refuses these tensors, SetupError."""
    body, length = build_request(InferRequest(tensors, parameters={"binary_data_output": True}))
    headers = {HEADER_LENGTH: length, TIMEOUT_HEADER: f"{_TIMEOUT_S * 1000:.0f}"}
    try:
        reply = _sent(client, hop, body, headers)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise _no_answer(hop, error) from error
    if reply.status_code == 200:
        return parse_response(reply.content, reply.headers.get(HEADER_LENGTH))
    if reply.status_code in (400, 413, 415, 422):
        raise InvalidInput(_reason(reply))
    do = f"; set {SERVICE_TOKEN} to the token that its gateway sends" if reply.status_code in (401, 403) else ""
    raise SetupError(f"{hop.model} at {hop.url} answered {reply.status_code}: {_reason(reply)}{do}")


def _sent(client: httpx.Client, hop: Hop, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """Ask, and again where the stage is overloaded."""
    url = f"{hop.url.rstrip('/')}/v2/models/{hop.model}/infer"
    request = partial(client.post, url, content=body, headers=headers, extensions=only_to(hop.model, hop.url))
    reply = request()
    for _ in range(_TRIES - 1):
        if reply.status_code not in _LATER:
            break
        time.sleep(hop.pause_s)
        reply = request()
    return reply


def _no_answer(hop: Hop, error: httpx.TransportError | httpx.InvalidURL) -> SetupError:
    if hop.url.startswith("https:"):
        do = f"if it answers its gateway alone, {IDENTITY} must name the folder of the gateway's certificate"
        return SetupError(f"{hop.model} at {hop.url} does not answer: {error or type(error).__name__}; {do}")
    if isinstance(error, httpx.ConnectError):
        return SetupError(f"no {hop.model} answers at {hop.url}; start one with: splitway up, or name another address")
    return SetupError(f"{hop.model} at {hop.url} does not answer: {error or type(error).__name__}")


def _reason(reply: httpx.Response) -> str:
    try:
        return read_answer(ErrorMessage, reply.content).error
    except ValueError:
        return "in a form that is not a stage's"
