"""Docker, for services in containers: optional, so never a problem."""

from __future__ import annotations

import shutil
import subprocess

from splitway.cli.doctor.checks.result import Result, ok

_TIMEOUT_S = 5.0
_NEEDED_FOR = "only docker compose up needs it"


def docker() -> Result:
    """Which engine and which Compose answer."""
    found = shutil.which("docker")
    if found is None:
        return ok("Docker", f"not installed; {_NEEDED_FOR}")
    server = _ask(found, "version", "--format", "{{.Server.Version}}")
    if server is None:
        return ok("Docker", f"installed, but no engine answers; {_NEEDED_FOR}")
    compose = _ask(found, "compose", "version", "--short")
    return ok("Docker", f"engine {server}, {f'Compose {compose}' if compose else 'without Compose'}")


def _ask(command: str, *arguments: str) -> str | None:
    try:
        answer = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
