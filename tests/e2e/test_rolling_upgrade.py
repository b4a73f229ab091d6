"""Real replicas upgraded one by one, and releases moved, under load: nobody fails, and not one answer mixes versions.

Every version of the backbone has a feature space and weights of its own, and a head that goes with it. What the right
pair answers is known bit by bit, so an answer that mixes them equals none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from splitway.releases import Release, Releases, Trial, write_releases
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response
from testkit.chaos.arena import STAGES, gateway
from testkit.support import until
from tests.splitway.runtime.stage_process import serve_process
from tests.tiny_bundles import oracle, write_bundle

pytestmark = pytest.mark.alone

CALLERS = 4
UPGRADES = 5
INPUTS = {"x": np.linspace(-1, 1, 4, dtype=np.float32)[None], "ids": np.array([[1, 2]], np.int32)}
QUICK = {"SPLITWAY_RESCAN_MS": "50", "SPLITWAY_KEEP_OLD_S": "2"}


def space(version: int) -> str:
    return f"fs:{version:016x}"


def write(models: Path, stage: str, version: int) -> None:
    kind = "extractor" if stage == "feature_extractor" else "head"
    write_bundle(models, stage, version, kind, seed=100 * version + len(stage), feature_space=space(version))


def expected(models: Path, versions: range) -> dict[str, bytes]:
    """What each version's pair answers, by its feature space."""
    answers = {}
    for version in versions:
        features = oracle(models / "feature_extractor" / str(version), INPUTS)
        answers[space(version)] = oracle(models / "classifier" / str(version), features)["probabilities"].tobytes()
    return answers


@dataclass(frozen=True)
class Seen:
    """One answer."""

    status: int
    space: str
    release: str | None
    probabilities: bytes


class Load:
    """Callers who ask without a pause, and remember every answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.seen: list[Seen] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask meanwhile."""
        with ThreadPoolExecutor(CALLERS) as threads:
            calls = [threads.submit(self._ask) for _ in range(CALLERS)]
            try:
                yield
            finally:
                self._stop.set()
        for call in calls:
            call.result()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            while not self._stop.is_set():
                self.seen.append(_ask(client, {}))
                time.sleep(0.005)

    def reaches_space(self, wanted: str) -> None:
        """Wait for an answer of a feature space among the newest."""
        until(lambda: any(seen.space == wanted for seen in self.seen[-CALLERS:]), 20)

    def reaches_release(self, wanted: str | None) -> None:
        """Wait for an answer of a release among the newest."""
        until(lambda: any(seen.release == wanted for seen in self.seen[-CALLERS:]), 20)


def ask_once(url: str, headers: Mapping[str, str] | None = None) -> Seen:
    """Ask the pipeline one time."""
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        return _ask(client, headers or {})


def _ask(client: httpx.Client, headers: Mapping[str, str]) -> Seen:
    tensors = tuple(Tensor.of_array(name, array) for name, array in INPUTS.items())
    body, length = build_request(InferRequest(tensors, parameters={"binary_data_output": True}))
    reply = client.post("/v2/models/pipeline/infer", content=body, headers={HEADER_LENGTH: length, **headers})
    if reply.status_code != 200:
        return Seen(reply.status_code, reply.text, None, b"")
    response = parse_response(reply.content, reply.headers.get(HEADER_LENGTH))
    named = str(response.parameters["feature_space"])
    release = reply.headers.get("x-splitway-release")
    return Seen(200, named, release, response.output("probabilities").array.tobytes())


def check(seen: list[Seen], right: dict[str, bytes]) -> None:
    """Nobody failed, and every answer is the one of the version that it names."""
    assert len(set(right.values())) == len(right)
    assert {(each.status, each.space) for each in seen if each.status != 200} == set()
    mixed = [each for each in seen if right[each.space] != each.probabilities]
    assert not mixed, f"{len(mixed)} of {len(seen)} answers mix versions"


def test_replicas_are_upgraded_one_by_one_and_no_answer_mixes_them(tmp_path: Path) -> None:
    folders = {
        stage: [tmp_path / f"{stage}.{number}" for number in (1, 2)] for stage in ("feature_extractor", "classifier")
    }
    for stage, several in folders.items():
        for folder in several:
            write(folder, stage, 1)
    with ExitStack() as stack:
        urls = {
            stage: [str(stack.enter_context(serve_process(stage, f, **QUICK)).base_url) for f in several]
            for stage, several in folders.items()
        }
        running = stack.enter_context(gateway(urls, tmp_path / "gateway.log"))
        load = Load(running.url)
        with load.running():
            for version in range(2, UPGRADES + 2):
                order = [("classifier", 0), ("feature_extractor", 0), ("feature_extractor", 1), ("classifier", 1)]
                for stage, replica in order if version % 2 else reversed(order):
                    write(folders[stage][replica], stage, version)
                    time.sleep(0.4)
                load.reaches_space(space(version))
    both = tmp_path / "both"
    both.mkdir()
    for stage, (folder, _) in folders.items():
        (both / stage).symlink_to(folder / stage)
    check(load.seen, expected(both, range(1, UPGRADES + 2)))
    assert {each.space for each in load.seen} == {space(version) for version in range(1, UPGRADES + 2)}


def test_releases_move_under_load_and_each_answer_is_of_the_one_it_names(tmp_path: Path) -> None:
    models, file = tmp_path / "models", tmp_path / "releases.json"
    for version in (1, 2):
        for stage in STAGES:
            write(models, stage, version)
    made = {name: _release(version) for version, name in ((1, "one"), (2, "two"))}
    states = [
        Releases(releases=made, current="one"),
        Releases(releases=made, current="one", canary=Trial(release="two", percent=50, since="now")),
        Releases(releases=made, current="two", previous="one"),
        Releases(releases=made, current="one", previous="two"),
    ]
    write_releases(file, states[0])
    settings = {**QUICK, "SPLITWAY_RELEASES": str(file)}
    with ExitStack() as stack:
        urls = {
            stage: [str(stack.enter_context(serve_process(stage, models, **settings)).base_url) for _ in range(2)]
            for stage in STAGES
        }
        settings = {"SPLITWAY_RELEASES": str(file)}
        load = Load(stack.enter_context(gateway(urls, tmp_path / "gateway.log", **settings)).url)
        with load.running():
            load.reaches_release("one")
            for state in (states * 2)[1:]:
                write_releases(file, state)
                load.reaches_release("two" if state.canary is not None else state.current)
                time.sleep(0.6)
    check(load.seen, expected(models, range(1, 3)))
    assert {(each.release, each.space) for each in load.seen} == {("one", space(1)), ("two", space(2))}


def _release(version: int) -> Release:
    heads = {"classifier": str(version)}
    return Release(
        extractor=str(version), heads=heads, feature_space=space(version), created="2026-11-24T00:00:00+00:00"
    )


def test_the_check_sees_an_answer_that_mixes() -> None:
    right = {space(1): b"one", space(2): b"two"}
    with pytest.raises(AssertionError, match="1 of 2 answers mix versions"):
        check([Seen(200, space(1), None, b"one"), Seen(200, space(2), None, b"one")], right)
