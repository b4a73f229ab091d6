"""Requests in the Open Inference Protocol, to the gateway and to the stages by themselves."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Iterable
from typing import Any

from benchmarks.answers.pictures import cat, file
from benchmarks.answers.recorded import INFER, METADATA, Recorded
from benchmarks.answers.setups import SERVICE_TOKEN

_EXTRACT, _HEAD = "/v2/models/feature_extractor/infer", "/v2/models/classifier/infer"
_LENGTH = "inference-header-content-length"


def tensor(data: list[Any], **more: Any) -> dict[str, Any]:
    """Pictures in base64 as a tensor of the protocol."""
    base = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "parameters": {"content_type": "base64"}}
    return {**base, "data": data, **more}


def infer(name: str, content: Any, target: str = INFER, to: str = "gateway", **headers: str) -> Recorded:
    """An inference in JSON, or in the bytes that are given; names of headers are written with underscores."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given = {"content-type": "application/json", **{each.replace("_", "-"): value for each, value in headers.items()}}
    return Recorded(f"{to} infer: {name}", "POST", target, given, body, to=to)


def _inferences() -> Iterable[Recorded]:
    encoded = base64.b64encode(cat()).decode()
    one, plain = {"inputs": [tensor([encoded])]}, tensor([encoded])
    requests: dict[str, Any] = {
        "a picture": one,
        "an id": {"id": "mine", **one},
        "two pictures": {"inputs": [tensor([encoded, encoded])]},
        "pictures in rows": {"inputs": [tensor([encoded], shape=[1, 1])]},
        "top 3": {**one, "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}]},
        "top -1": {**one, "outputs": [{"name": "probabilities", "parameters": {"classification": -1}}]},
        "top 5000": {**one, "outputs": [{"name": "probabilities", "parameters": {"classification": 5000}}]},
        "another output": {**one, "outputs": [{"name": "features"}]},
        "an output twice": {**one, "outputs": [{"name": "probabilities"}] * 2},
        "binary output": {**one, "parameters": {"binary_data_output": True}},
        "binary of one output": {**one, "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
        "the head pets": {**one, "parameters": {"head": "pets"}},
        "the head foreign": {**one, "parameters": {"head": "foreign"}},
        "no such head": {**one, "parameters": {"head": "nosuch"}},
        "all heads": {**one, "parameters": {"head": "*"}},
        "a head that is a number": {**one, "parameters": {"head": 1}},
        "a time limit": {**one, "parameters": {"timeout": 20_000_000}},
        "a time limit of a microsecond": {**one, "parameters": {"timeout": 1}},
        "a bad time limit": {**one, "parameters": {"timeout": "soon"}},
        "no inputs": {"inputs": []},
        "no field inputs": {"id": "a"},
        "another input": {"inputs": [{**plain, "name": "picture"}]},
        "an input twice": {"inputs": [plain, plain]},
        "no name": {"inputs": [{"datatype": "BYTES", "shape": [1], "data": [encoded]}]},
        "another type": {"inputs": [tensor([1.0], datatype="FP32")]},
        "no such type": {"inputs": [tensor([1.0], datatype="FP31")]},
        "a wrong shape": {"inputs": [tensor([encoded], shape=[2])]},
        "a negative shape": {"inputs": [tensor([encoded], shape=[-1])]},
        "no rows": {"inputs": [tensor([], shape=[0])]},
        "65 rows": {"inputs": [tensor(["AA=="] * 65)]},
        "text": {"inputs": [tensor(["aGVsbG8="])]},
        "a good picture and text": {"inputs": [tensor([encoded, "aGVsbG8="])]},
        "bad base64": {"inputs": [tensor(["%%%"])]},
        "a list": [],
        "half": b'{"inputs": [',
        "nothing": b"",
    }
    for name, content in requests.items():
        yield infer(name, content)
    for name, target in {
        "version 1": f"{METADATA}/versions/1/infer",
        "version 2": f"{METADATA}/versions/2/infer",
    }.items():
        yield infer(name, one, target)
    yield infer("no such model", one, "/v2/models/nosuch/infer")
    yield infer("packed by gzip", gzip.compress(json.dumps(one).encode(), mtime=0), content_encoding="gzip")
    yield infer("an answer packed by gzip", one, accept_encoding="gzip")
    yield from _binary(cat())


def _binary(picture: bytes) -> Iterable[Recorded]:
    data = struct.pack("<I", len(picture)) + picture
    sent = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [sent], "parameters": {"binary_data_output": True}}).encode()
    lengths = (str(len(head)), "", "0", "-1", "a", str(len(head) + len(data) + 1))
    for length in lengths:
        name = f"binary, {_LENGTH}: {'right' if length == lengths[0] else length or 'none'}"
        yield infer(name, head + data, inference_header_content_length=length)
    yield infer("binary, cut short", (head + data)[:-1], inference_header_content_length=lengths[0])
    yield infer("binary, with more behind", head + data + b"a", inference_header_content_length=lengths[0])


def _of_stages() -> Iterable[Recorded]:
    """The stages by themselves: features that come and go, the model repository."""
    encoded = base64.b64encode(cat()).decode()
    space = json.loads(file("models/classifier/1/stage.json"))["feature_space"]
    features = {"name": "features", "datatype": "FP32", "shape": [1, 1280], "data": [n / 1280 for n in range(1280)]}
    yield infer("a picture", {"inputs": [tensor([encoded])]}, _EXTRACT, "feature_extractor")
    yield infer("text", {"inputs": [tensor(["aGVsbG8="])]}, _EXTRACT, "feature_extractor")
    for name, said in {"its space": space, "another space": "fs:0123456789abcdef", "no space": None}.items():
        parameters = {} if said is None else {"feature_space": said}
        yield infer(name, {"inputs": [{**features, "parameters": parameters}]}, _HEAD, "classifier")
    short = {**features, "shape": [1, 3], "data": [0.0] * 3, "parameters": {"feature_space": space}}
    yield infer("too few features", {"inputs": [short]}, _HEAD, "classifier")
    for to in ("feature_extractor", "classifier"):
        for target in ("/v1/stage", "/livez", "/readyz", "/v2", "/v2/health/ready", f"/v2/models/{to}", "/metrics"):
            yield Recorded(f"{to} {target}", "GET", target, {}, to=to)


def _repository() -> Iterable[Recorded]:
    """The model repository of a stage, as the gateway's own caller uses it."""
    token = {"authorization": f"Bearer {SERVICE_TOKEN}", "x-service-token": SERVICE_TOKEN}
    repository = "/v2/repository"
    for target, body in {
        f"{repository}/index": b"",
        f"{repository}/index ": b'{"ready": true}',
        f"{repository}/models/pets/index": b"",
        f"{repository}/models/nosuch/index": b"",
        f"{repository}/models/nosuch/load": b"",
        f"{repository}/models/nosuch/unload": b"",
        f"{repository}/models/pets/unload": b'{"parameters": {"version": 1}}',
        f"{repository}/models/pets/load": b"[]",
        f"{repository}/models/pets/unload ": b"",
        f"{repository}/index  ": b"",
        f"{repository}/models/pets/load ": b"",
    }.items():
        yield Recorded(f"repository {target}, a token", "POST", target.strip(), token, body, "closed", "classifier")
    yield Recorded("repository, no token", "POST", f"{repository}/index", {}, to="classifier")


def inferences() -> Iterable[Recorded]:
    """All of them."""
    for group in (_inferences, _of_stages, _repository):
        yield from group()
