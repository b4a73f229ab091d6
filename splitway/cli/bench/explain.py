"""`splitway bench --explain`: one client's requests, in turn with the same work in this process."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
from rich.table import Column, Table

from splitway.api.pipeline import Pipeline, load_chain
from splitway.bundle_graph import find_chain
from splitway.cli.bench import load
from splitway.cli.bench.anatomy import OTHER, Anatomy, BreakEven, PlaceTimes, Reading, Spread
from splitway.cli.console import OUT, Steps, bar, tensorflow_hushed
from splitway.errors import BundleError, SetupError
from splitway.names import CANARY_HEADER, EXTRACTOR, IMAGE
from splitway.schemas.classify import TimedAnswer
from splitway.schemas.message import read_answer
from splitway.wire.messages import FEATURE_SPACE

MOST_REQUESTS = 200
_ROUND = 10
_LEAST_ROUNDS = 2
_ROUNDING_MS = 0.01
_LEGEND = (
    "ms; means add up, medians and p99 do not. network: HTTP on both sides of a hop, and all else between it "
    "and the engine; client: its HTTP client, the connection and the gateway's server."
)


@dataclass(frozen=True)
class Explanation:
    """Where the time went, and what the split costs; where that cannot be said, why not."""

    anatomy: Anatomy
    break_even: BreakEven | None = None
    why_not: str | None = None

    @property
    def sentences(self) -> list[str]:
        return self.break_even.sentences() if self.break_even else [str(self.why_not)]


def explain(target: load.BenchTarget, seconds: float) -> Explanation:
    """Follow up to 200 requests, for up to so many seconds; where the bundles are at hand, run them here as well.

    Raises:
        SplitwayError: no pipeline came up, or a request fails.
    """
    pictures = load.read_pictures(target)
    with Steps() as steps, load.gateway(target, steps, SPLITWAY_CACHE="off") as asked:
        folder = target.models or (load.DEFAULT_MODELS if target.running is None else target.running.models)
        steps.say("following requests")
        with load.client_of(asked) as client:
            client.headers[CANARY_HEADER] = "never"  # one release, and none whose figures this would change
            return _Follower(client, folder, pictures).follow(seconds, steps)


def _load_served(folder: Path, served: Mapping[str, str]) -> Pipeline:
    """Load the bundles of which an answer says that it is. Raises BundleError where they are not all in the folder."""
    names = [name for name in served if name != FEATURE_SPACE]
    if not names:
        raise BundleError("its answers do not say of which bundles they are")
    head = names[-1]
    with tensorflow_hushed():
        chain = find_chain(folder, served.get(EXTRACTOR), {head: served[head]})
        return load_chain(chain, [head])


class _Follower:
    """Measures in rounds: some pictures to the gateway, then the same ones through the chain of the same bundles, where
    there is a folder that has them."""

    def __init__(self, client: httpx.Client, folder: Path | None, pictures: Sequence[load.Picture]) -> None:
        self._client = client
        self._folder = folder
        self._chain: Pipeline | None = None
        self._pictures: Iterator[load.Picture] = cycle(pictures)
        self._from_cache = 0
        self._why_not = "The break-even needs the bundles that are served: add --models FOLDER."

    def follow(self, seconds: float, steps: Steps) -> Explanation:
        readings: list[Reading] = []
        rounds: list[tuple[float, float]] = []
        self._round()  # what is slow the first time is not measured
        self._from_cache = 0
        ends_s = time.perf_counter() + seconds
        while len(readings) < MOST_REQUESTS and (len(rounds) < _LEAST_ROUNDS or time.perf_counter() < ends_s):
            seen, in_process_ms = self._round()
            readings += seen
            rounds.append((statistics.fmean(reading.served_ms for reading in seen), in_process_ms))
            time_gone = 1 - (ends_s - time.perf_counter()) / seconds
            steps.progress(max(len(readings) / MOST_REQUESTS, time_gone))
        anatomy = Anatomy.of(readings)
        if self._chain is None:
            return Explanation(anatomy, why_not=self._why_not)
        if self._from_cache:
            cached = f"{self._from_cache} of {len(readings)} answers came from the feature cache"
            why_not = f"{cached}: there is no break-even without SPLITWAY_CACHE=off at the gateway."
            return Explanation(anatomy, why_not=why_not)
        return Explanation(anatomy, BreakEven.of(anatomy, rounds))

    def _round(self) -> tuple[list[Reading], float]:
        """Return what was read of each request, and the milliseconds that one takes in this process."""
        pictures = list(islice(self._pictures, _ROUND))
        readings = [self._served(picture) for picture in pictures]
        if self._chain is None:
            return readings, 0.0
        started_s = time.perf_counter()
        for picture in pictures:
            self._chain({IMAGE: [picture.data]})
        return readings, (time.perf_counter() - started_s) * 1000 / len(pictures)

    def _served(self, picture: load.Picture) -> Reading:
        try:
            reply, seconds = load.ask(self._client, picture)
        except httpx.TransportError as error:
            raise SetupError(f"a request got no answer: {error}") from error
        if (code := load.failure(reply)) is not None:
            refused = f"a request was refused with {reply.status_code} {code}"
            raise SetupError(f"{refused}; only successful requests can be explained")
        try:
            said = read_answer(TimedAnswer, reply.content)
        except ValueError as error:
            raise SetupError("the answers are not from a gateway: they have no model or no timings_ms") from error
        if self._folder is not None:
            self._compare(self._folder, {name: version for name, version in said.model.items() if name != "release"})
        self._from_cache += any(sign in reply.headers.get("cache-status", "") for sign in ("; hit", "; collapsed"))
        return Reading.of(seconds * 1000, said.timings_ms.model_dump())

    def _compare(self, folder: Path, theirs: dict[str, str]) -> None:
        """Load what the gateway serves, of the first answer; give up on the comparison where it is something else."""
        try:
            if self._chain is None:
                self._chain = _load_served(folder, theirs)
            ours = _serves(self._chain)
            why_not = None if theirs == ours else f"the bundles here are {_listed(ours)}"
        except BundleError as error:
            why_not = error.detail
        if why_not is not None:
            self._why_not = f"No break-even: the gateway serves {_listed(theirs)}; {why_not}."
            self._folder = self._chain = None


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _serves(chain: Pipeline) -> dict[str, str]:
    """What a gateway in front of these bundles says of itself."""
    versions = {bundle.manifest.name: bundle.manifest.version for bundle in chain.bundles}
    return {**versions, FEATURE_SPACE: chain.feature_space}


def print_table(explanation: Explanation) -> None:
    """Print the anatomy as a table and what follows from it as sentences."""
    anatomy = explanation.anatomy
    numbers = (Column(name, justify="right") for name in ("mean", "median", "p99", "share"))
    table = Table(f"{anatomy.requests} requests", *numbers, "", box=None, header_style="bold")
    for place in anatomy.places:
        _add_row(table, anatomy, place.name, place.whole, "bold")
        for name, spread in _parts(place).items():
            _add_row(table, anatomy, f"  {name}", spread, None)
    _add_row(table, anatomy, "the client's wait", anatomy.wait, "bold")
    OUT.print(table)
    OUT.print(_LEGEND, style="dim")
    for sentence in explanation.sentences:
        OUT.print(sentence)


def _parts(place: PlaceTimes) -> dict[str, Spread]:
    """The parts worth a row: none, where all is in one, and no rest that is only rounding."""
    if set(place.parts) == {OTHER}:
        return {}
    return {name: spread for name, spread in place.parts.items() if name != OTHER or abs(spread.mean_ms) > _ROUNDING_MS}


def _add_row(table: Table, anatomy: Anatomy, name: str, spread: Spread, style: str | None) -> None:
    share = anatomy.share(spread)
    times = (f"{ms:z.2f}" for ms in (spread.mean_ms, spread.median_ms, spread.p99_ms))
    table.add_row(name, *times, f"{share * 100:z.1f} %", bar(share), style=style)


def print_json(explanation: Explanation) -> None:
    """Print the same as one JSON object; times in milliseconds, shares of 1."""
    anatomy = explanation.anatomy
    content = {
        "requests": anatomy.requests,
        "wait": asdict(anatomy.wait),
        "places": {
            place.name: {
                **_figures(anatomy, place.whole),
                "parts": {name: _figures(anatomy, spread) for name, spread in _parts(place).items()},
            }
            for place in anatomy.places
        },
        "break_even": None if explanation.break_even is None else explanation.break_even.figures(),
        "says": explanation.sentences,
    }
    print(json.dumps(content))


def _figures(anatomy: Anatomy, spread: Spread) -> dict[str, float]:
    return {**asdict(spread), "share": anatomy.share(spread)}
