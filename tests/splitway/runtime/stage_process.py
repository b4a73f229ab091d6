"""A stage, or the gateway, as a process of its own."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from testkit.support import free_port, until


@contextmanager
def serve_process(stage: str, models: Path, **environment: str) -> Iterator[httpx.Client]:
    """`splitway serve`, ready; it must end with 0."""
    with (
        served(stage, {"SPLITWAY_MODELS": str(models), **environment}) as (url, _),
        httpx.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        until(lambda: client.get("/readyz").status_code == 200, 30)
        yield client


@contextmanager
def served(
    service: str, environment: Mapping[str, str], files: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`splitway serve`, as soon as it answers, as its address and process; it must end with 0.

    Args:
        service: what is served.
        environment: what it is told.
        files: how many it may have open.
    """
    port = free_port()

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    process = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "serve", service, "--port", str(port)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        preexec_fn=limit,  # noqa: PLW1509 - nothing else runs in this process yet
    )
    try:
        until(lambda: _is_listening(port), 30)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
