"""Bodies of 10 MiB against real processes: what they take of memory, and for how long they keep an event loop."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import LogBook, random_pixels
from tests.security.processes import resident_bytes

pytestmark = pytest.mark.alone

MIB = 1 << 20
LARGE = 10 * MIB
LONGEST_MS = 25.0
_TRIES = 6
_STOOD = re.compile(
    r"service\W+(\w+).*?stood still for ([\d.]+) ms, in which it worked [\d.]+ and the whole process ([\d.]+)"
)
_JPEG = {"content-type": "image/jpeg"}
_JSON = {"content-type": "application/json"}
Sent = tuple[str, bytes, dict[str, str]]


class Watched:
    """A pipeline whose processes say how long their loops stand still."""

    def __init__(self, pipeline: LocalPipeline, log: LogBook) -> None:
        self.pipeline = pipeline
        self._log = log

    def longest_ms(self, client: httpx.Client, sent: Sent) -> float:
        """The longest that any loop stood still, by the process's own doing, while this was answered."""
        path, body, headers = sent
        before = len(self._log.text)
        client.post(path, content=body, headers=headers).raise_for_status()
        for process in self.pipeline.processes:  # each has been back on its loop, and has told how long it was away
            client.get(f"{process.url}/livez").raise_for_status()
        stood = _STOOD.findall(self._log.text[before:])
        return max((min(float(wall), float(worked)) for _, wall, worked in stood), default=0.0)


@pytest.fixture(scope="module")
def watched(models: Path) -> Iterator[Watched]:
    log = LogBook()
    told = {"SPLITWAY_SLOW_LOOP_MS": "5", "SPLITWAY_CACHE": "memory", "SPLITWAY_LOG_FORMAT": "json"}
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None, environment=told), log.line) as running:
        running.wait_ready()
        yield Watched(running, log)


@pytest.fixture(scope="module")
def picture(cat: bytes) -> bytes:
    """A JPEG with so much behind its end."""
    return cat + os.urandom(LARGE - len(cat))


def _binary(tensor: Tensor, path: str) -> Sent:
    body, length = build_request(InferRequest((tensor,), parameters={"binary_data_output": True}))
    return path, body, {HEADER_LENGTH: length}


def _form(kind: str, picture: bytes, extractor: str) -> Sent:
    text = base64.b64encode(picture).decode()
    classify, pipeline = "/v1/classify", "/v2/models/pipeline/infer"
    stage = f"{extractor}/v2/models/feature_extractor/infer"
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n' + picture + b"\r\n--b--\r\n"
    image: dict[str, object] = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    v2_json = orjson.dumps({"inputs": [image | {"parameters": {"content_type": "base64"}}]})
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [4, 224, 224, 3], "data": random_pixels(4).tolist()}
    forms: dict[str, Sent] = {
        "raw": (classify, picture, _JPEG),
        "json": (classify, orjson.dumps({"image": text}), _JSON),
        "json in lines": (classify, orjson.dumps({"image": "\n".join(re.findall(".{1,76}", text))}), _JSON),
        "multipart": (classify, part, {"content-type": "multipart/form-data; boundary=b"}),
        "v2 binary": _binary(Tensor.of_bytes("image", [picture]), pipeline),
        "v2 json": (pipeline, v2_json, _JSON),
        "v2 json packed": (pipeline, gzip.compress(v2_json, 1), {**_JSON, "content-encoding": "gzip"}),
        "stage binary": _binary(Tensor.of_bytes("image", [picture]), stage),
        "stage json": (stage, v2_json, _JSON),
        "stage numbers": (stage, orjson.dumps({"inputs": [pixels]}), _JSON),
    }
    return forms[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "raw",
        "json",
        "json in lines",
        "multipart",
        "v2 binary",
        "v2 json",
        "v2 json packed",
        "stage binary",
        "stage json",
        "stage numbers",
    ],
)
def test_no_form_of_ten_mib_keeps_a_loop_for_long(kind: str, watched: Watched, picture: bytes) -> None:
    """A loaded machine makes any one try long: the best of a few counts, of a picture that is new each time."""
    extractor = watched.pipeline.of("feature_extractor")[0].url
    longest = []
    with httpx.Client(base_url=watched.pipeline.gateway.url, timeout=60, trust_env=False) as client:
        for _ in range(_TRIES):
            sent = _form(kind, picture[:-8] + os.urandom(8), extractor)
            longest.append(watched.longest_ms(client, sent))
            if longest[-1] <= LONGEST_MS:
                return
    pytest.fail(f"the loop stood still for {longest} ms")


def test_sixty_callers_of_ten_mib_leave_the_gateway_small_and_a_small_caller_answered(
    watched: Watched, picture: bytes, cat: bytes
) -> None:
    gateway, ends, good, most = watched.pipeline.gateway, Counter[int | str](), Counter[int](), [0]

    async def large(number: int) -> None:
        transport = httpx.AsyncHTTPTransport(local_address=f"127.0.0.{number + 2}")
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            try:
                reply = await client.post(f"{gateway.url}/v1/classify", content=picture, headers=_JPEG)
            except httpx.TransportError:  # refused, and still sending two seconds later: the machine is that busy
                ends["cut off"] += 1
            else:
                ends[reply.status_code] += 1
                assert reply.status_code == 200 or int(reply.headers["retry-after"]) >= 1

    async def beside(done: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            while not done.is_set():
                reply = await client.post(f"{gateway.url}/v1/classify", content=cat, headers=_JPEG)
                good[reply.status_code] += 1
                most[0] = max(most[0], resident_bytes(gateway))

    async def all_at_once() -> None:
        done = asyncio.Event()
        small = asyncio.create_task(beside(done))
        await asyncio.gather(*map(large, range(60)))
        done.set()
        await small

    asyncio.run(all_at_once())
    most[0] = max(most[0], resident_bytes(gateway))
    assert set(ends) <= {200, 503, "cut off"}
    assert ends[200] >= 1
    assert ends[503] >= 30
    assert set(good) == {200}
    assert most[0] < 250 * MIB
    metrics = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    assert "splitway_gateway_body_bytes 0.0" in metrics
    assert re.search(r'splitway_gateway_bodies_refused_total\{reason="full"\} [1-9]', metrics)
