"""What a reply says of its time is what its caller waited."""

from __future__ import annotations

import re
import socket
import time

import httpx
import orjson
import pytest

pytestmark = pytest.mark.alone

REQUESTS = 40


def _ask(connection: socket.socket, request: bytes) -> tuple[float, bytes, bytes]:
    """Send one request and read its reply; return the seconds waited, the head and the body."""
    started_s = time.perf_counter()
    connection.sendall(request)
    reply = b""
    while not (found := re.search(rb"content-length: (\d+)", reply)) or b"\r\n\r\n" not in reply:
        reply += connection.recv(1 << 16)
    head, _, body = reply.partition(b"\r\n\r\n")
    while len(body) < int(found[1]):
        body += connection.recv(1 << 16)
    return time.perf_counter() - started_s, head, body


def test_the_timings_account_for_what_the_caller_waits(gateway: httpx.Client, cat: bytes) -> None:
    """One kept connection of a client that adds next to nothing; sums over all requests, so that no outlier decides."""
    head = (
        f"POST /v1/classify HTTP/1.1\r\nhost: gateway\r\ncontent-type: image/jpeg\r\ncontent-length: {len(cat)}\r\n\r\n"
    )
    waited_ms = said_ms = hops_ms = parts_ms = 0.0
    with socket.create_connection((gateway.base_url.host, gateway.base_url.port or 80), timeout=30) as connection:
        for _ in range(REQUESTS):
            waited_s, headers, body = _ask(connection, head.encode() + cat)
            timings = orjson.loads(body)["timings_ms"]
            hops = [timings["feature_extractor"], timings["classifier"]]
            waited_ms += waited_s * 1000
            said_ms += timings["total"]
            hops_ms += sum(hop["total"] for hop in hops)
            parts_ms += sum(hop[part] for hop in hops for part in ("queue", "decode", "compute", "network"))
            assert f"total;dur={timings['total']}".encode() in headers
    print(f"of {waited_ms:.0f} ms: total {said_ms / waited_ms:.3f}, hops {hops_ms / waited_ms:.3f}")
    assert 0.95 * waited_ms <= said_ms <= waited_ms
    assert abs(parts_ms - hops_ms) < 0.01 * REQUESTS, "queue, decode, compute and network are all of a hop"
