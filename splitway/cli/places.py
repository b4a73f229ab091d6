"""Where a local pipeline is: the ports it takes, the file it leaves while it runs, the address that is asked."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from splitway.errors import SetupError
from splitway.manifest import EXTRACTOR

GATEWAY = "gateway"
HEADS = "classifier"
"""The stage that serves every head."""
GATEWAY_PORT = 8080
PORTS = {EXTRACTOR: 8081, HEADS: 8091}
"""The port from which a stage's replicas' ports are taken."""
RUN_FILE = Path(".splitway/run.json")


@dataclass(frozen=True)
class Place:
    """One process as the run file names it."""

    stage: str
    url: str
    pid: int

    @property
    def is_alive(self) -> bool:
        """Whether that process runs and is still one of Splitway's: numbers are given again."""
        try:
            os.kill(self.pid, 0)
            return b"splitway" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except ProcessLookupError:
            return False
        except OSError:  # it is another user's, or this system has no /proc: there is something of that number
            return True


def read_run_file(path: Path = RUN_FILE) -> list[Place] | None:
    """The processes of the pipeline that `splitway up` started here; None if there is no such file.

    Raises:
        SetupError: the file is there and cannot be read.
    """
    try:
        run = json.loads(path.read_bytes())
        gateway = run.pop(GATEWAY)
        stages = {stage: several for stage, several in run.items() if isinstance(several, list)}  # else of a newer one
        entries = [(GATEWAY, gateway), *((stage, entry) for stage, several in stages.items() for entry in several)]
        return [Place(stage, str(entry["url"]), int(entry["pid"])) for stage, entry in entries]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SetupError(f"{path} cannot be read as what splitway up writes: remove it") from error


def named_url(url: str | None) -> str | None:
    """The gateway's address as the user names it; None if he does not. Raises SetupError for what is no address."""
    if url and not _is_address(url):
        raise SetupError(f"--url takes an address such as http://127.0.0.1:{GATEWAY_PORT}, not {url!r}")
    return url.rstrip("/") if url else None


def local_url(run_file: Path = RUN_FILE) -> str:
    """The address of the gateway that runs from this folder; the default one if none does."""
    try:
        places = read_run_file(run_file) or []
    except SetupError:
        places = []
    alive = [place.url for place in places if place.stage == GATEWAY and place.is_alive]
    return alive[0] if alive else f"http://127.0.0.1:{GATEWAY_PORT}"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        return False
