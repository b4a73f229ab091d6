"""What takes memory is refused or waits before it is taken: in containers of 512 MB that the kernel would kill."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from testkit.support import until
from tests.compose.composed import Compose, require_docker

require_docker()
pytestmark = pytest.mark.docker
LARGE_BODY_BYTES = 10 * 1024 * 1024
CALLERS = 60
GATEWAY_MAX_MIB = 250
ENCODING: dict[str, dict[str, Any]] = {
    "WEBP": {"method": 0},
    "PNG": {"compress_level": 1},
    "JPEG": {"progressive": True},
}


def _large(format_: str, side: int, **options: Any) -> bytes:
    coarse = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, format_, **options)
    return buffer.getvalue()


def _ended(compose: Compose) -> dict[str, tuple[int, bool]]:
    """How often each container was started again, and whether the kernel killed it for its memory."""
    services = ("gateway", "feature-extractor", "classifier")
    found = [container for service in services for container in compose.containers(service)]
    return {c["Name"]: (c["RestartCount"], c["State"]["OOMKilled"]) for c in found}


@pytest.fixture(scope="module")
def two_extractors(compose: Compose) -> Iterator[None]:
    compose("up", "--detach", "--wait", "--no-recreate", "--scale", "feature-extractor=2", "feature-extractor")
    yield
    compose("up", "--detach", "--wait", "--no-recreate", "--scale", "feature-extractor=1", "feature-extractor")


@pytest.mark.usefixtures("two_extractors")
@pytest.mark.parametrize("picture", ["WEBP 25 MP", "PNG 25 MP", "JPEG 25 MP"])
def test_no_picture_has_a_replica_killed(compose: Compose, cat: bytes, picture: str) -> None:
    """Eight at once to two replicas, beside a caller with small ones who is always answered."""
    format_ = picture.partition(" ")[0]
    data, before = _large(format_, 5000, **ENCODING[format_]), _ended(compose)
    done, small = threading.Event(), Counter[int]()

    def ask_for_small_ones() -> None:
        while not done.is_set():
            small[compose.classify(cat, timeout_s=20).status_code] += 1

    beside = threading.Thread(target=ask_for_small_ones)
    beside.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: compose.classify(data, timeout_s=40), range(8)))
    finally:
        done.set()
        beside.join()
    assert _ended(compose) == before
    assert set(small) == {200}
    assert {reply.status_code for reply in replies} <= {200, 413, 503, 504}
    assert all("memory" in reply.json()["detail"] for reply in replies if reply.status_code == 413)
    assert not any(reply.status_code == 502 for reply in replies)


def _resident_mib(compose: Compose) -> float:
    (container,) = compose.containers("gateway")
    lines = Path(f"/proc/{container['State']['Pid']}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_sixty_large_bodies_do_not_fill_the_gateway(compose: Compose, cat: bytes) -> None:
    """All but the last byte of each is sent, so that every body is held; then the last bytes are."""
    before, address = _ended(compose), urlsplit(compose.url)
    head = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n"
    head += b"content-length: %d\r\n\r\n" % LARGE_BODY_BYTES
    callers = [socket.create_connection((address.hostname or "", address.port or 0), 10) for _ in range(CALLERS)]
    highest_mib = 0.0

    def send(caller: socket.socket) -> bool:
        """Whether all was taken; one that is refused is closed."""
        try:
            caller.sendall(head + cat + bytes(LARGE_BODY_BYTES - len(cat) - 1))
        except OSError:
            return False
        return True

    try:
        with ThreadPoolExecutor(CALLERS) as pool:
            sending = [pool.submit(send, caller) for caller in callers]
            while not all(each.done() for each in sending):
                highest_mib = max(highest_mib, _resident_mib(compose))
                if time.monotonic() % 1 < 0.2:
                    assert compose.classify(cat).status_code == 200
                time.sleep(0.05)
        highest_mib = max(highest_mib, _resident_mib(compose))
        assert compose.classify(cat).status_code == 200
    finally:
        for caller in callers:
            caller.close()
    assert highest_mib < GATEWAY_MAX_MIB
    assert _ended(compose) == before
    until(lambda: compose.classify(cat).status_code == 200, 10)
