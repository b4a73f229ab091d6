"""Ten thousand malformed requests to the real services: each is refused, none is felt."""

from __future__ import annotations

import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.security.malformed import CUT_SHORT, KINDS, READER
from tests.security.processes import address, open_files, resident_bytes

pytestmark = pytest.mark.alone

WARM_UP, REQUESTS, AT_ONCE = 1_000, 10_000, 4
MAY_GROW_BYTES = 3_000_000
"""Between the thousandth request and the last, of which 0.6 to 1.0 MB is usual; one kept head would be 60 MB."""
READERS = {"gateway": "/v1/classify", "feature_extractor": "/v2/models/feature_extractor/infer"}
_STATUS = re.compile(rb"HTTP/1\.1 (\d)\d\d ")


@dataclass(frozen=True)
class Under:
    """A pipeline under attack, and what its processes print."""

    pipeline: LocalPipeline
    log: LogBook


@pytest.fixture(scope="module")
def under(models: Path) -> Iterator[Under]:
    log = LogBook()
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), log.line) as running:
        running.wait_ready()
        yield Under(running, log)


def complaints(log: LogBook) -> list[str]:
    """Lines about something else than a request that reached the app, of which the log has samples."""
    return [line for line in log.text.splitlines() if '"outcome"' not in line]


def answer(to: tuple[str, int], request: bytes, *, hang_up: bool) -> bytes:
    """Everything that comes until the service closes the connection, which it has to do."""
    received = b""
    with socket.create_connection(to, timeout=10) as client:
        with suppress(ConnectionError):
            client.sendall(request)
            if hang_up:
                client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := client.recv(65536):
                received += data
    return received


def fault(to: tuple[str, int], reader: str, seed: int) -> str | None:
    """Send one malformed request; what was wrong with its answer, or None."""
    dice = random.Random(seed)
    kind = dice.choice([*KINDS, *CUT_SHORT])
    make = KINDS.get(kind) or CUT_SHORT[kind]
    request = make(dice).replace(READER.encode(), reader.encode())
    try:
        reply = answer(to, request, hang_up=kind in CUT_SHORT)
    except TimeoutError:
        return f"{kind}: neither answered nor closed"
    if kind in CUT_SHORT and not reply:
        return None
    head, _, body = reply.partition(b"\r\n\r\n")
    if _STATUS.findall(reply) != [b"4"]:
        return f"{kind}: {reply[:60]!r} to {request[:90]!r}"
    return None if b"content-type: application/" in head and b"error" in body else f"{kind}: {reply!r}"


def faults(to: tuple[str, int], reader: str, seeds: range) -> Counter[str]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(filter(None, pool.map(lambda seed: fault(to, reader, seed), seeds)))


def test_there_are_more_than_thirty_kinds() -> None:
    assert len(KINDS) >= 30


@pytest.mark.parametrize("service", READERS)
def test_malformed_requests_are_refused_and_leave_nothing_behind(under: Under, service: str, cat: bytes) -> None:
    process, reader = under.pipeline.of(service)[0], READERS[service]
    to = address(process)
    assert not faults(to, reader, range(WARM_UP))
    resident, files, lines = resident_bytes(process), open_files(process), len(complaints(under.log))
    assert not faults(to, reader, range(WARM_UP, WARM_UP + REQUESTS))
    grown = resident_bytes(process) - resident
    assert grown < MAY_GROW_BYTES
    until(lambda: open_files(process) <= files + 8, 5)
    assert len(complaints(under.log)) - lines < 5
    url, headers = f"{under.pipeline.gateway.url}/v1/classify", {"content-type": "image/jpeg"}
    reply = httpx.post(url, content=cat, headers=headers, timeout=30, trust_env=False)
    assert reply.status_code == 200
    assert reply.json()["label"]
