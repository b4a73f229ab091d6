"""`splitway ps` and `splitway down`: the pipelines that `splitway up` started from this folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import httpx
from rich.table import Table
from rich.text import Text

from splitway.cli.console import ERR, OUT, Steps, emit
from splitway.cli.status import TIMEOUT_S, ask
from splitway.errors import SetupError
from splitway.local.places import GATEWAY_PORT
from splitway.local.readiness import why_not_ready
from splitway.local.run_file import RunFile, read_run
from splitway.local.runs import all_runs, damaged_runs, find_run, run_path
from splitway.local.stopping import clear_stale, stop_run
from splitway.names import GATEWAY

_NOTHING = "no pipeline runs from this folder; splitway up starts one"


@dataclass(frozen=True)
class ListedProcess:
    """One process of a pipeline, as `ps` shows it."""

    name: str
    stage: str
    url: str
    pid: int
    state: str
    """`running`, `restarting` (it has ended, and is started again) or `ended`."""
    restarts: int


@dataclass(frozen=True)
class ListedPipeline:
    """One pipeline, as `ps` shows it."""

    name: str | None
    url: str
    since: str
    ready: bool
    reason: str | None
    """Why it is not ready."""
    log: str | None
    pid: int | None
    """Of `splitway up` itself."""
    replicas: Mapping[str, int]
    processes: tuple[ListedProcess, ...]


def listed() -> list[ListedPipeline]:
    """The pipelines of this folder that run."""
    there = all_runs().items()
    return [_pipeline(name, run) for name, run in there if run.is_running]


def listed_pipeline(name: str | None) -> ListedPipeline:
    """The pipeline of that name, or the unnamed one. Raises SetupError if it does not run."""
    run = read_run(run_path(name))
    if run is None:
        raise SetupError("it has ended already; splitway logs says why")
    return _pipeline(name, run)


def _pipeline(name: str | None, run: RunFile) -> ListedPipeline:
    launcher = run.launcher
    reason = why_not_ready(run.gateway.url, launcher.certificate if launcher else None)
    return ListedPipeline(
        name=name,
        url=run.gateway.url,
        since=launcher.since if launcher else "",
        ready=reason is None,
        reason=reason,
        log=str(launcher.log) if launcher and launcher.log else None,
        pid=launcher.process.pid if launcher else None,
        replicas=dict(Counter(place.stage for place in run.places if place.stage != GATEWAY)),
        processes=tuple(_processes(run)),
    )


def _processes(run: RunFile) -> Iterator[ListedProcess]:
    will_start = run.starts_again
    for name, place in run.by_name.items():
        state = "running" if place.is_alive else "restarting" if will_start else "ended"
        yield ListedProcess(name, place.stage, place.url, place.pid, state, place.restarts)


def ps(*, as_json: bool) -> None:
    """Print the pipelines of this folder and their processes."""
    found = listed()
    clear_stale()
    emit(as_json, {"pipelines": [asdict(each) for each in found]})
    _say_damaged()
    if not found:
        ERR.print(_NOTHING, markup=False)
    elif not as_json:
        OUT.print(_table(found))


def _say_damaged() -> None:
    for line in damaged_runs():
        ERR.print(f"splitway: {line}", style="yellow", markup=False)


def _table(found: list[ListedPipeline]) -> Table:
    table = Table("name", "process", "state", "restarts", "pid", "url", "since", box=None, header_style="bold")
    for pipeline in found:
        cells = [pipeline.name or "-", pipeline.since]
        for process in pipeline.processes:
            is_gateway = process.stage == GATEWAY
            state = process.state if not is_gateway or process.state != "running" else pipeline.reason or "ready"
            row = (cells[0], process.name, state, f"{process.restarts}", f"{process.pid}", process.url, cells[1])
            table.add_row(*(Text(cell) for cell in row))
            cells = ["", ""]
    return table


def down(name: str | None, *, as_json: bool) -> None:
    """Stop the pipeline of that name, or the one without a name, and say what was stopped.

    Raises:
        SetupError: none has that name, only others that have one run, or it cannot be stopped.
    """
    clear_stale()
    found = find_run(name)
    if name is None and found is not None and found[0] is not None:
        raise SetupError(f"only {found[0]} runs from this folder, which has a name: stop it with --name {found[0]}")
    if found is None:
        emit(as_json, {"stopped": False, "name": None, "processes": []})
        _say_damaged()
        ERR.print(f"nothing is stopped: no pipeline runs from this folder{_elsewhere()}", markup=False)
        return
    chosen, run = found
    running = [process.name for process in _processes(run) if process.state == "running"]
    with Steps() as steps:
        steps.say(f"stopping {', '.join(running) or 'what starts them'}")
        stop_run(run_path(chosen), run)
    what = "the pipeline" if chosen is None else chosen
    OUT.print(f"stopped {what}: {', '.join(running) or 'nothing of it ran'}", markup=False)
    emit(as_json, {"stopped": True, "name": chosen, "processes": running})


def _elsewhere() -> str:
    """That a gateway answers at the default address, which was not started from here; nothing where none does."""
    url = f"http://127.0.0.1:{GATEWAY_PORT}"
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:  # without a key: another user may listen there
        look = ask(client, url)
    answers = look.status is not None or look.refused is not None
    return f"; the gateway at {url} was started elsewhere: stop it from there" if answers else ""
