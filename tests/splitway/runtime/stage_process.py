"""A stage as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support import free_port, until


@contextmanager
def serve_process(stage: str, models: Path, **environment: str) -> Iterator[httpx.Client]:
    """`splitway serve`, ready; it must end with 0."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "serve", stage, "--port", str(port)],
        env={**os.environ, "SPLITWAY_MODELS": str(models), **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            until(lambda: _is_ready(client), 30)
            yield client
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
