"""One running compose project, which the tests of this folder share."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from testkit.support import free_port, until

ROOT = Path(__file__).parent.parent.parent
PROJECT = f"splitway-test-{zlib.crc32(os.fsencode(ROOT)):08x}"
"""Of this checkout: its tests run beside those of another. So are the images called."""
IMAGES = tuple(f"{PROJECT}/{name}" for name in ("gateway", "feature-extractor", "classifier"))
MTLS = ("--file", "compose.yaml", "--file", "deploy/compose/mtls.yaml")
KEYS = ("--file", "compose.yaml", "--file", "deploy/compose/keys.yaml")
_JPEG = {"content-type": "image/jpeg"}


def require_docker() -> None:
    """Skip the module that calls this where no engine answers; fail where one is asked for."""
    if _engine_answers():
        return
    if os.environ.get("SPLITWAY_REQUIRE_DOCKER"):
        pytest.fail("no Docker engine answers, and `make test-compose` needs one", pytrace=False)
    pytest.skip("no Docker engine answers; `make test-compose` runs these", allow_module_level=True)


def _engine_answers() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def left_of(project: str) -> str:
    """The containers that are left of a project."""
    return run("docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}")


def run(*command: str, timeout_s: float = 900) -> str:
    """Run a command in the repository's root and return what it prints; fail with all of it if it fails."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


class Project:
    """Another project on the images of the first: with an overlay, and settings of its own."""

    def __init__(self, name: str, overlay: str, **environment: str) -> None:
        self.name = f"{PROJECT}-{name}"
        files = ("--file", "compose.yaml", "--file", f"deploy/compose/{overlay}")
        self._command = ("docker", "compose", "--project-name", self.name, *files)
        self._environment = {**os.environ, "SPLITWAY_IMAGES": PROJECT, **environment}

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._command, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=900, check=False
        )

    def end(self) -> None:
        """Remove it; fail if a container is left."""
        self("down", "--volumes", "--remove-orphans", "--timeout", "10")
        assert left_of(self.name) == ""


class Compose:
    """The project, on ports of the test's own."""

    def __init__(self) -> None:
        ports = {name: str(free_port()) for name in ("SPLITWAY_PORT", "SPLITWAY_PROMETHEUS_PORT")}
        os.environ.update(ports)
        self.url = f"http://127.0.0.1:{ports['SPLITWAY_PORT']}"
        self.prometheus_url = f"http://127.0.0.1:{ports['SPLITWAY_PROMETHEUS_PORT']}"

    def __call__(self, *arguments: str) -> str:
        return run("docker", "compose", "--project-name", PROJECT, *arguments)

    def containers(self, service: str) -> list[dict[str, Any]]:
        names = self("ps", "--all", "--quiet", service).split()
        return json.loads(run("docker", "inspect", *names)) if names else []

    def classify(self, picture: bytes, timeout_s: float = 10) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/classify", content=picture, headers=_JPEG, timeout=timeout_s, trust_env=False)

    def eventually_classifies(self, picture: bytes, timeout_s: float = 60) -> None:
        until(lambda: self.classify(picture).status_code == 200, timeout_s)
