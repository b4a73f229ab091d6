"""Small things that several tests and benchmarks need."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response


class LogBook:
    """Keeps what processes print."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def line(self, name: str, line: str) -> None:
        with self._lock:
            self._lines.append(f"{name} | {line}")

    @property
    def text(self) -> str:
        with self._lock:
            return "\n".join(self._lines)


def picture(mode: str = "RGB", size: tuple[int, int] = (64, 48), format_: str = "PNG", **options: Any) -> bytes:
    """An encoded picture with a gradient in it."""
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8).reshape(size[1], size[0], 3)
    buffer = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(buffer, format_, **options)
    return buffer.getvalue()


def infer(
    client: httpx.Client, model: str, tensor: Tensor, parameters: Mapping[str, Any] | None = None
) -> InferResponse:
    """One binary inference over HTTP. Raises on any status but 200."""
    body, length = build_request(InferRequest((tensor,), parameters={"binary_data_output": True, **(parameters or {})}))
    reply = client.post(f"/v2/models/{model}/infer", content=body, headers={HEADER_LENGTH: length})
    reply.raise_for_status()
    return parse_response(reply.content, reply.headers.get(HEADER_LENGTH))


def random_pixels(rows: int, seed: int = 7) -> NDArray[np.uint8]:
    """So many pictures of noise, the same for each seed."""
    return np.random.default_rng(seed).integers(0, 256, (rows, 224, 224, 3), dtype=np.uint8)


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait for something; fail if it does not come."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s"
        time.sleep(0.05)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def splitway(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "splitway.cli.main", *map(str, arguments)]
    ours = {name: value for name, value in os.environ.items() if name != "COLUMNS"}  # which pytest-xdist sets
    return subprocess.run(
        command, cwd=cwd, env={**ours, **environment}, capture_output=True, text=True, timeout=240, check=False
    )


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The error of a failed command, which must be its last line and no traceback."""
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]
