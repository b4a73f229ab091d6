"""Pipelines of a tree's own code, each set up in another way."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

WITNESS = Path(__file__).parent.parent / "witness"
_FOREIGN_SPACE = "fs:0123456789abcdef"
_PATIENCE_S = 120.0
_CREATED = "2026-11-24T18:00:00+00:00"
_QUIET = {"SPLITWAY_COMPARE_SHARE": "0", "SPLITWAY_LOG": "warning"}
"""Comparisons in the background run by chance."""
Address = tuple[str, int]


def _key(number: int) -> str:
    return f"splitway_{number:010x}_{'A' * 43}"


KEYS: dict[str, tuple[str, dict[str, Any]]] = {
    "all": (_key(1), {"scopes": ["infer", "metrics", "admin"]}),
    "infer": (_key(2), {"scopes": ["infer"]}),
    "metrics": (_key(3), {"scopes": ["metrics"]}),
    "expired": (_key(4), {"scopes": ["infer"], "expires": "2026-11-24T19:00:00+00:00"}),
    "poor": (_key(5), {"scopes": ["infer"], "cost_per_minute": 1}),
}
UNKNOWN_KEY = _key(6)
SERVICE_TOKEN = "token" * 8


@dataclass(frozen=True)
class Setup:
    """How a pipeline is set up."""

    models: str = "plain"
    environment: Mapping[str, str] = field(default_factory=dict)
    has_keys: bool = False
    has_stages: bool = True


SETUPS: dict[str, Setup] = {
    "open": Setup(),
    "closed": Setup(has_keys=True, environment={"SPLITWAY_SERVICE_TOKEN": SERVICE_TOKEN}),
    "releases": Setup("released"),
    "heads": Setup("without a classifier"),
    "alone": Setup(has_stages=False),
}


def make_models(default: Path, folder: Path) -> None:
    """Write the folders of bundles that the setups serve, made from the default ones."""
    for name in ("plain", "released", "without a classifier"):
        shutil.copytree(default, folder / name)
    head, extractor = default / "classifier" / "1", default / "feature_extractor" / "1"
    _copy(head, folder / "plain" / "pets" / "1", name="pets")
    _copy(head, folder / "plain" / "foreign" / "1", name="foreign", feature_space=_FOREIGN_SPACE)
    for name in ("pets", "plants"):
        _copy(head, folder / "without a classifier" / name / "1", name=name)
    shutil.rmtree(folder / "without a classifier" / "classifier")
    _copy(head, folder / "released" / "classifier" / "2", version="2")
    _copy(extractor, folder / "released" / "feature_extractor" / "2", version="2")
    space = json.loads((head / "stage.json").read_text())["feature_space"]
    (folder / "released" / "releases.json").write_text(json.dumps(_releases(space)))


def _copy(bundle: Path, folder: Path, **changed: str) -> None:
    shutil.copytree(bundle, folder)
    manifest = folder / "stage.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))


def _releases(space: str) -> dict[str, Any]:
    versions = {"blue": "1", "green": "2", "unused": "1"}
    return {
        "format": 1,
        "releases": {
            name: {"extractor": version, "heads": {"classifier": version}, "feature_space": space, "created": _CREATED}
            for name, version in versions.items()
        },
        "current": "blue",
        "previous": None,
        "canary": {"release": "green", "percent": 100.0, "since": _CREATED},
        "shadow": None,
        "history": [],
    }


def _write_keys(file: Path) -> None:
    kept = [
        {
            "id": key.split("_")[1],
            "name": name,
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "created": _CREATED,
            **more,
        }
        for name, (key, more) in KEYS.items()
    ]
    file.write_text(json.dumps({"format": 1, "keys": kept}))
    file.chmod(0o600)


@contextmanager
def started(tree: Path, setup: Setup, models: Path, folder: Path) -> Iterator[dict[str, Address]]:
    """Start a pipeline of a tree's own code in a folder; yield where each of its services is.

    Raises:
        AssertionError: a process has imported Splitway from elsewhere.
    """
    folder.mkdir(parents=True)
    (folder / "imported").mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith("SPLITWAY_")}
    path = {"PYTHONPATH": f"{WITNESS}:{tree}", "IMPORTED_TO": str(folder / "imported")}
    environment = {**own, **_QUIET, **setup.environment, **path}
    if setup.has_keys:
        _write_keys(folder / "keys.json")
        environment["SPLITWAY_KEYS_FILE"] = str(folder / "keys.json")
    command = ["up", "--models", str(models / setup.models), "--port", "0"]
    if not setup.has_stages:
        nowhere = {"SPLITWAY_FEATURE_EXTRACTOR": "http://127.0.0.1:1", "SPLITWAY_CLASSIFIER": "http://127.0.0.1:2"}
        environment |= nowhere
        command = ["serve", "gateway", "--port", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "splitway.cli.main", *command], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            yield _where_it_is(folder, setup, process)
        finally:
            process.terminate()
            process.wait(_PATIENCE_S)
    _assert_own_code(tree, folder / "imported", processes=1 if not setup.has_stages else 4)


def _where_it_is(folder: Path, setup: Setup, process: subprocess.Popen[bytes]) -> dict[str, Address]:
    """The services' addresses, once the gateway knows of every stage whether it is ready."""
    for _ in _patiently(folder, process):
        addresses = _addresses(folder, setup)
        if addresses and _has_settled(addresses["gateway"], setup):
            return addresses
    raise AssertionError


def _patiently(folder: Path, process: subprocess.Popen[bytes]) -> Iterator[None]:
    end_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end_s and process.poll() is None:
        yield
        time.sleep(0.1)
    raise SystemExit(f"a pipeline did not start; its log:\n{(folder / 'log').read_text()}")


def _addresses(folder: Path, setup: Setup) -> dict[str, Address] | None:
    if not setup.has_stages:
        said = (folder / "log").read_text().partition("gateway listens on ")[2]
        return {"gateway": _address(said.split()[0])} if "\n" in said else None
    file = folder / ".splitway" / "run.json"
    if not file.exists():
        return None
    ran: dict[str, Any] = json.loads(file.read_text())
    services = {name: each[0] if isinstance(each, list) else each for name, each in ran.items()}
    return {name: _address(service["url"]) for name, service in services.items() if "url" in service}  # not "up" itself


def _address(url: str) -> Address:
    parts = urlsplit(url)
    return str(parts.hostname), parts.port or 80


def _has_settled(gateway: Address, setup: Setup) -> bool:
    try:
        reply = httpx.get(f"http://{gateway[0]}:{gateway[1]}/readyz", trust_env=False)
    except httpx.TransportError:
        return False
    return reply.status_code == 200 or not setup.has_stages


def _assert_own_code(tree: Path, imported: Path, processes: int) -> None:
    witnesses = [json.loads(file.read_text()) for file in imported.iterdir()]
    assert len(witnesses) == processes, f"{len(witnesses)} processes of {processes} have said what they imported"
    for files in witnesses:
        foreign = [file for file in files if not Path(file).resolve().is_relative_to(tree.resolve())]
        assert files, "a process has imported nothing of Splitway"
        assert not foreign, f"imported from outside {tree}: {foreign[:3]}"
