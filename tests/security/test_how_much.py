"""How much one caller may take: attacks on a pipeline of real processes that is reached from beyond this machine.

Each succeeds without its defence; what it then does is said beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import aiohttp
import httpx
import numpy as np
import pytest

from splitway.http.body import pack
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.security.callers.keys import KeyFile, make_key
from splitway.state_file import replace_file
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import LogBook, picture, until
from tests.gateway.edge.test_cost import PADDED, PNG, header

pytestmark = pytest.mark.alone

MB = 1 << 20
CLASSIFY, INFER = "/v1/classify", "/v2/models/pipeline/infer"
JPEG = {"content-type": "image/jpeg"}
CALLERS: dict[str, dict[str, int]] = {
    "greedy": {},
    "modest": {},
    "few at once": {"concurrency": 2},
    "little": {"cost_per_minute": 30},
}


@dataclass
class Closed:
    """The pipeline, and a key for each caller."""

    running: LocalPipeline
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.running.gateway.url

    def headers(self, caller: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[caller]}"}

    def post(self, path: str, content: bytes, caller: str = "modest", **headers: str) -> httpx.Response:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as client:
            return client.post(path, content=content, headers={**JPEG, **self.headers(caller), **headers})


@pytest.fixture(scope="module")
def closed(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    made = {caller: make_key(caller, ("infer",), **limits) for caller, limits in CALLERS.items()}
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    replace_file(file, KeyFile(keys=tuple(record for _, record in made.values())).model_dump_json())
    log = LogBook()
    told = {"SPLITWAY_KEYS_FILE": str(file)}
    with LocalPipeline(LaunchPlan(models, "0.0.0.0", 0, environment=told, run_file=None), log.line) as running:  # noqa: S104
        running.wait_ready()
        yield Closed(running, {caller: key for caller, (key, _) in made.items()})


@pytest.fixture(autouse=True)
def healthy_afterwards(closed: Closed, cat: bytes) -> Iterator[None]:
    """Whatever was tried, the next is answered."""
    yield
    assert closed.post(CLASSIFY, cat).json()["label"]


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_growth_mb(pid: int, attack: Callable[[], object]) -> float:
    """Megabytes by which a process's memory was at most larger during an attack than before."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = _status_kb(pid, "VmRSS")
    attack()
    return (_status_kb(pid, "VmHWM") - before) / 1024


def _status_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


@dataclass
class Load:
    """What came of one caller's requests."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


async def _call(closed: Closed, session: aiohttp.ClientSession, key: str, content: bytes, until_s: float) -> Load:
    """One client that asks again as soon as it is answered, and soon after a refusal."""
    load = Load()
    while time.monotonic() < until_s:
        started_s = time.monotonic()
        async with session.post(closed.url + CLASSIFY, data=content, headers={**JPEG, **closed.headers(key)}) as reply:
            await reply.read()
        load.statuses[reply.status] += 1
        if reply.status == 200:
            load.seconds.append(time.monotonic() - started_s)
        else:
            await asyncio.sleep(0.05)
    return load


async def test_one_caller_with_32_clients_does_not_take_the_pipeline(closed: Closed, cat: bytes) -> None:
    """In one queue for all, whoever has one client waits as long as each of the 32, and is refused as often."""
    until_s = time.monotonic() + 8
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        calls = [_call(closed, session, key, cat, until_s) for key in ("modest", *["greedy"] * 32)]
        modest, *greedy = await asyncio.gather(*calls)
    assert modest.statuses[200]
    assert not modest.statuses.keys() & {429, 503}
    theirs = [seconds for load in greedy for seconds in load.seconds]
    assert median(theirs) > 1.25 * median(modest.seconds)


def _held(closed: Closed, caller: str) -> socket.socket:
    """A request whose body does not come to its end."""
    parts = urlsplit(closed.url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0))
    head = f"POST {CLASSIFY} HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: 9\r\n"
    connection.sendall(f"{head}authorization: Bearer {closed.keys[caller]}\r\n\r\nx".encode())
    return connection


def test_bodies_that_never_end_are_held_for_so_many_alone(closed: Closed, cat: bytes) -> None:
    """Without it a caller holds a body of 16 MB for each connection that an address may have: 512 of them."""
    held = [_held(closed, "few at once") for _ in range(2)]
    until(lambda: closed.post(CLASSIFY, cat, "few at once").status_code == 429, 10)
    refused = closed.post(CLASSIFY, cat, "few at once")
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("rate_limited", "1")
    assert closed.post(CLASSIFY, cat, "modest").status_code == 200
    for connection in held:
        connection.close()
    until(lambda: closed.post(CLASSIFY, cat, "few at once").status_code == 200, 10)


def test_large_pictures_and_many_rows_cost_what_they_are(closed: Closed, cat: bytes) -> None:
    """By requests alone, a picture of 20 megapixels, which takes 0.27 s to decode, costs no more than a small one."""
    large = picture("1", (5000, 4000))
    first = closed.post(CLASSIFY, large, "little")
    assert (first.status_code, first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == (
        200,
        "30",
        "3",
    )
    again = closed.post(CLASSIFY, large, "little")
    assert (again.status_code, again.headers["ratelimit-remaining"]) == (429, "2")
    assert 0 < int(again.headers["retry-after"]) <= 120
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [cat] * 6),)))
    assert closed.post(INFER, body, "little", **{HEADER_LENGTH: length}).status_code == 429
    assert closed.post(CLASSIFY, cat, "little").status_code == 200
    assert closed.post(CLASSIFY, cat, "modest").status_code == 200


@pytest.mark.parametrize("kind", PADDED)
def test_pictures_of_padding_do_not_reach_a_decoder(closed: Closed, kind: str) -> None:
    """Ten megabytes of them keep the extractor's interpreter busy for 0.4 to 2.6 s each."""
    sample = PADDED[kind]
    attack = sample + sample[-1000:] * (9 * MB // 1000)
    stage = closed.running.of("feature_extractor")[0].popen.pid
    before_s = cpu_s(stage)
    replies = [closed.post(CLASSIFY, attack) for _ in range(3)]
    assert {(reply.status_code, reply.json()["stage"]) for reply in replies} == {(400, None)}
    assert cpu_s(stage) - before_s < 0.3


def test_a_bomb_of_pixels_is_seen_in_its_header(closed: Closed) -> None:
    stage = closed.running.of("feature_extractor")[0].popen.pid
    bomb = PNG + header(60_000, 60_000)
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [bomb]),)))
    before_s = cpu_s(stage)
    replies = [closed.post(CLASSIFY, bomb), closed.post(INFER, body, **{HEADER_LENGTH: length})]
    assert [reply.status_code for reply in replies] == [413, 413]
    assert cpu_s(stage) - before_s < 0.2


def _inputs(**entry: object) -> bytes:
    return json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", **entry}]}).encode()


def _rows() -> tuple[bytes, str]:
    return build_request(InferRequest((Tensor.of_bytes("image", [b""] * (1 << 17)),)))


GREEDY: dict[str, tuple[Callable[[], tuple[bytes, str | None]], int, float]] = {
    "rows: 131,072 pictures of nothing": (_rows, 413, 8),
    "rows: that are not there": (lambda: (_inputs(shape=[1 << 40], data=[]), None), 413, 4),
    "elements: more than there is memory": (
        lambda: (_inputs(datatype="FP64", shape=[1, 1 << 30, 1 << 30], data=[1]), None),
        400,
        4,
    ),
    "elements: hidden behind a zero": (lambda: (_inputs(datatype="FP64", shape=[0, 1 << 40], data=[]), None), 400, 4),
    "rank: 100,000 dimensions": (lambda: (_inputs(shape=[1] * 100_000, data=["x"]), None), 400, 12),
    "depth: 4 MB of brackets": (lambda: (b"[" * (4 * MB), None), 413, 32),
    "depth: as deep as fits": (lambda: (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, None), 400, 12),
    "values: two million": (lambda: (b'{"inputs":[' + b"1," * (2 * MB) + b"1]}", None), 413, 32),
    "a length that is not there": (lambda: (struct.pack("<I", 0xFFFFFFFF), "999999999999"), 400, 4),
}


@pytest.mark.parametrize(("made", "status", "most_mb"), GREEDY.values(), ids=GREEDY.keys())
def test_what_is_too_much_is_refused_before_memory_is_taken(
    closed: Closed, made: Callable[[], tuple[bytes, str | None]], status: int, most_mb: float
) -> None:
    """At most the body itself, in its chunks, as a whole, and as JSON, for as long as it takes to look at it."""
    body, length = made()
    given = {} if length is None else {HEADER_LENGTH: length}
    replies: list[httpx.Response] = []
    grown = peak_growth_mb(
        closed.running.gateway.popen.pid,
        lambda: replies.extend(closed.post(INFER, body, **given) for _ in range(3)),
    )
    assert [reply.status_code for reply in replies] == [status] * 3
    assert len(replies[0].content) < 2000
    assert grown < most_mb


def test_a_bomb_of_gzip_is_not_unpacked(closed: Closed) -> None:
    """16 KB unpack to 16 MB, which is as far as they get where packed bodies are taken: on this machine alone."""
    bomb = pack(np.zeros(100 * MB, np.uint8).tobytes(), "gzip")
    gateway = closed.running.gateway.popen.pid
    packed = {"content-encoding": "gzip"}
    replies: list[httpx.Response] = []
    sends = [partial(closed.post, path, bomb, **packed) for path in (CLASSIFY, INFER)]
    grown = peak_growth_mb(gateway, lambda: replies.extend(send() for send in sends))
    assert [reply.status_code for reply in replies] == [415, 415]
    assert grown < 4
