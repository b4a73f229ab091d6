"""The pipelines of a folder: each has a name of its own, or none, and beside its run file a lock that says it runs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from splitway.errors import SetupError
from splitway.local.places import GATEWAY_PORT, RUN_FILE
from splitway.local.run_file import RunFile, make_run_folder, read_run
from splitway.state_file import hold, let_go

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NAMED = "run-{}.json"
_MOMENT_S = 0.05
"""For longer than one that clears away what a killed pipeline left has its lock."""


@dataclass(frozen=True)
class LocalGateway:
    """The gateway that is asked where none is named, and why it must not get secrets; None if it may."""

    url: str
    doubt: str | None = None
    name: str | None = None
    """Of its pipeline in this folder."""
    certificate: Path | None = None
    """The one certificate that it shows, as the run file says; None for one that the usual authorities vouch for."""
    models: Path | None = None
    """The folder of its bundles, where a run file that is trusted says it."""


def check_name(name: str) -> None:
    """Raise SetupError for what no pipeline may be called."""
    if not _NAME.fullmatch(name):
        raise SetupError(f"--name takes up to 32 lower-case letters, digits and dashes, not {name[:80]!r}")


def run_path(name: str | None, unnamed: Path = RUN_FILE) -> Path:
    """The run file of a pipeline; `unnamed` is that of the one without a name. Raises SetupError for no name."""
    if name is None:
        return unnamed
    check_name(name)
    return unnamed.with_name(_NAMED.format(name))


def log_path(name: str | None, unnamed: Path = RUN_FILE) -> Path:
    """The log of a pipeline that runs detached. Raises SetupError for what is no name."""
    return run_path(name, unnamed).with_suffix(".log")


def written_logs(unnamed: Path = RUN_FILE) -> dict[str | None, Path]:
    """The logs that there are, by the names of their pipelines."""
    return _found(unnamed.with_suffix(".log"))


def all_runs(unnamed: Path = RUN_FILE) -> dict[str | None, RunFile]:
    """What the run files of a folder say, by the names of their pipelines; without those that cannot be read."""
    found: dict[str | None, RunFile] = {}
    for name, path in _found(unnamed).items():
        with suppress(SetupError):
            if (run := read_run(path)) is not None:
                found[name] = run
    return found


def left_names(unnamed: Path = RUN_FILE) -> list[str | None]:
    """The names of the pipelines of a folder that have a run file or a lock, whether they run or not."""
    return list(_found(unnamed) | _found(unnamed.with_suffix(".lock")))


def damaged_runs(unnamed: Path = RUN_FILE) -> list[str]:
    """A sentence about each run file of a folder that cannot be read: what it names is not known, and may run."""
    said = []
    for path in _found(unnamed).values():
        try:
            read_run(path)
        except SetupError as error:
            said.append(error.detail)
    return said


def _found(unnamed: Path) -> dict[str | None, Path]:
    """The files of a kind that there are: the unnamed pipeline's first."""
    named = sorted(unnamed.parent.glob(f"run-*{unnamed.suffix}"))
    by_name = {path.stem.removeprefix("run-"): path for path in named}
    there: dict[str | None, Path] = {None: unnamed} if unnamed.exists() else {}
    return there | {name: path for name, path in by_name.items() if _NAME.fullmatch(name)}


def find_run(name: str | None, unnamed: Path = RUN_FILE, option: str = "--name") -> tuple[str | None, RunFile] | None:
    """Return the pipeline that is meant: of this name; else the unnamed one; else the only one. None if none runs.

    `option` is that by which a user names one.

    Raises:
        SetupError: no pipeline of that name runs, or several run and none is named.
    """
    running = {each: run for each, run in all_runs(unnamed).items() if run.is_running}
    if name is not None:
        check_name(name)
        if name not in running:
            raise SetupError(f"no pipeline {name!r} runs from this folder; {_which(running)}")
        return name, running[name]
    if None in running or len(running) == 1:
        chosen = None if None in running else next(iter(running))
        return chosen, running[chosen]
    if running:
        raise SetupError(f"{_which(running)}: choose one with {option}")
    return None


def _which(running: Mapping[str | None, RunFile]) -> str:
    names = [name or "one without a name" for name in running]
    return f"these run: {', '.join(names)}" if names else "splitway up --name starts one"


def asked_gateway(url: str | None = None, unnamed: Path = RUN_FILE, name: str | None = None) -> LocalGateway:
    """The named gateway, which is trusted; else the one that runs from this folder, or that at the default address.

    Raises SetupError as `find_run`.
    """
    if url is not None:
        return LocalGateway(url)
    return running_gateway(unnamed, name) or LocalGateway(f"http://127.0.0.1:{GATEWAY_PORT}")


def running_gateway(unnamed: Path = RUN_FILE, name: str | None = None, option: str = "--name") -> LocalGateway | None:
    """The gateway of the pipeline that is meant; None if none runs here. Raises SetupError as `find_run`."""
    found = find_run(name, unnamed, option)
    if found is None:
        return None
    chosen, run = found
    gateway, launcher = run.gateway, run.launcher
    certificate = None if launcher is None else launcher.certificate
    models = None if launcher is None or run.doubt is not None else launcher.models
    return LocalGateway(gateway.url, run.why_not(gateway), chosen, certificate, models)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Be the only one that runs the pipeline of this run file, until the end.

    The lock ends with the process however that ends; a run file that a killed one left is replaced by the next.
    Raises SetupError if another one does, or the folder cannot be written.
    """
    make_run_folder(path.parent)
    lock = path.with_suffix(".lock")
    try:
        if (held := hold(lock)) is None:
            time.sleep(_MOMENT_S)
            held = hold(lock)
    except OSError as error:
        raise SetupError(f"cannot write {lock}: {error.strerror}") from error
    if held is None:
        raise SetupError(
            f"{_what_runs(path)}; stop it with {_down(path)}, or start another one with --name OTHER --port 0"
        )
    try:
        yield
    finally:
        let_go(lock, held)


def _down(path: Path) -> str:
    """What stops the pipeline of a run file."""
    named = path.stem.partition("-")[2]
    return "splitway down" + (f" --name {named}" if named else "")


def _what_runs(path: Path) -> str:
    run = None
    with suppress(SetupError):
        run = read_run(path)
    if run is None or run.launcher is None:
        return f"splitway up is starting a pipeline with {path} already"
    process, since = run.launcher.process.pid, run.launcher.since
    return f"a pipeline with {path} runs already: {run.gateway.url}, process {process}, since {since}"
