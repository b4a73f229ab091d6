"""`splitway bench`: how much a gateway answers, asked by a few clients who each wait for their answer."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from rich.table import Column, Table

from splitway.api.picture_files import read_picture
from splitway.cli.ask.classify import classify_files, headers_for
from splitway.cli.bench.anatomy import Spread
from splitway.cli.console import OUT, Steps
from splitway.cli.credentials import gateway_client, problem_of
from splitway.cli.operate.up import passing_pipeline
from splitway.errors import InvalidInput, SetupError
from splitway.local.runs import LocalGateway

DEFAULT_MODELS = Path("models")
_TIMEOUT_S = 60.0
_PACE_S = 0.05
_NO_ANSWER = "no_answer"


@dataclass(frozen=True)
class BenchTarget:
    """What is measured: a running gateway, or a pipeline of the run's own; and with which pictures."""

    files: Sequence[Path]
    running: LocalGateway | None = None
    """The gateway that is measured; None for a pipeline of the run's own."""
    models: Path | None = None


@dataclass(frozen=True)
class Picture:
    """A picture as it is sent."""

    data: bytes
    headers: dict[str, str]


@dataclass
class LoadResult:
    """What a closed loop of clients saw."""

    clients: int
    seconds: float
    waits_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """By the error's code; `no_answer` where the connection failed."""


def bench(target: BenchTarget, clients: int, seconds: float) -> LoadResult:
    """Let clients ask for so many seconds.

    Raises:
        SplitwayError: no pipeline came up, a picture is refused, or nothing was answered.
    """
    load = LoadResult(clients, seconds)
    pictures = read_pictures(target)
    with Steps() as steps, gateway(target, steps) as asked:
        steps.say(f"measuring for {seconds:g} s")
        _closed_loop(asked, pictures, load, steps)
    if not load.waits_ms:
        told = ", ".join(f"{count} {code}" for code, count in load.failures.items())
        raise SetupError(f"no request was answered within {seconds:g} s: {told or 'all of them took longer'}")
    return load


def read_pictures(target: BenchTarget) -> list[Picture]:
    """Read the files. Raises SetupError if there is none, OSError if one cannot be read."""
    if not target.files:
        raise SetupError("name a picture to send: this folder has no samples/*.jpg")
    return [Picture(read_picture(file), headers_for(file)) for file in target.files]


@contextmanager
def gateway(target: BenchTarget, steps: Steps, **environment: str) -> Iterator[LocalGateway]:
    """The gateway, once it has taken each picture; one of our own gets this environment.

    Raises:
        InvalidInput: a picture is refused.
        SetupError: the gateway does not answer, or no pipeline started.
    """
    with ExitStack() as stack:
        asked = target.running
        if asked is None:
            steps.say("starting a pipeline of its own, on free ports")
            started = passing_pipeline(target.models or DEFAULT_MODELS, environment)
            asked = LocalGateway(stack.enter_context(started).gateway.url)
        else:
            steps.say(f"asking the pipeline that runs at {asked.url}")
        for result in classify_files(list(target.files), asked, top_k=1):
            if result.error is not None:
                raise InvalidInput(f"{result.file}: {result.error}")
        yield asked


def client_of(asked: LocalGateway) -> httpx.Client:
    """Return a client of a gateway, which shows it our key. Raises SetupError for a key that cannot be sent."""
    return gateway_client(asked, _TIMEOUT_S)


def ask(client: httpx.Client, picture: Picture) -> tuple[httpx.Response, float]:
    """Return the whole answer and the seconds it took. Raises httpx.TransportError."""
    started_s = time.perf_counter()
    reply = client.post("/v1/classify", content=picture.data, headers=picture.headers)
    return reply, time.perf_counter() - started_s


def failure(reply: httpx.Response) -> str | None:
    """The code of a refusal; None of an answer."""
    if reply.status_code == 200:
        return None
    return problem_of(reply).code or f"http_{reply.status_code}"


def _closed_loop(asked: LocalGateway, pictures: Sequence[Picture], load: LoadResult, steps: Steps) -> None:
    stop = threading.Event()
    threads = [
        threading.Thread(target=_ask_again_and_again, args=(asked, pictures, load, stop), daemon=True)
        for _ in range(load.clients)
    ]
    ends_s = time.perf_counter() + load.seconds
    for thread in threads:
        thread.start()
    try:
        while (left_s := ends_s - time.perf_counter()) > 0:
            steps.progress(1 - left_s / load.seconds)
            stop.wait(min(left_s, 0.2))
    finally:
        stop.set()
    for thread in threads:
        thread.join()


def _ask_again_and_again(
    asked: LocalGateway, pictures: Sequence[Picture], load: LoadResult, stop: threading.Event
) -> None:
    """One client, until told to stop; what is answered after that does not count."""
    with client_of(asked) as client:
        for picture in cycle(pictures):
            try:
                reply, seconds = ask(client, picture)
                code = failure(reply)
            except httpx.TransportError:
                code = _NO_ANSWER
            if stop.is_set():
                return
            if code is None:
                load.waits_ms.append(seconds * 1000)
                continue
            load.failures[code] += 1
            if code == _NO_ANSWER:
                stop.wait(_PACE_S)


def print_table(load: LoadResult) -> None:
    """Print one row of what the clients saw."""
    figures = _load_figures(load)
    names = ("clients", "seconds", "requests", "requests/s", "p50 ms", "p99 ms")
    table = Table(*(Column(name, justify="right") for name in names), "failures", box=None, header_style="bold")
    failures = ", ".join(f"{count} {code}" for code, count in sorted(load.failures.items())) or "none"
    numbers = (figures["requests_per_s"], figures["p50_ms"], figures["p99_ms"])
    counts = (f"{load.clients}", f"{load.seconds:g}", f"{figures['requests']}")
    table.add_row(*counts, *(f"{number:.1f}" for number in numbers), failures)
    OUT.print(table)


def print_json(load: LoadResult) -> None:
    """Print the same as one JSON object."""
    print(json.dumps(_load_figures(load)))


def _load_figures(load: LoadResult) -> dict[str, Any]:
    spread = Spread.of(load.waits_ms)
    return {
        "clients": load.clients,
        "seconds": load.seconds,
        "requests": len(load.waits_ms),
        "requests_per_s": len(load.waits_ms) / load.seconds,
        "p50_ms": spread.median_ms,
        "p99_ms": spread.p99_ms,
        "failures": dict(load.failures),
    }
