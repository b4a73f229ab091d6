"""Real stage processes under steady load, while the version that they serve is replaced again and again."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response
from testkit.support import until
from tests.splitway.runtime.stage_app import FEATURES
from tests.splitway.runtime.stage_process import serve_process
from tests.tiny_bundles import SPACE, oracle, write_bundle

SWAPS = 20
CALLERS = 3
MOST_S = 1.0
"""Far more than a request takes, far less than anybody who waits for a model to be loaded would."""


@dataclass(frozen=True)
class Seen:
    """One answer."""

    status: int
    version: str
    probabilities: bytes
    took_s: float


def _call(url: httpx.URL, stop: threading.Event) -> list[Seen]:
    """Ask over one connection until told to stop."""
    tensor = Tensor.of_array("features", FEATURES["features"], {"feature_space": SPACE})
    body, length = build_request(InferRequest((tensor,), parameters={"binary_data_output": True}))
    seen = []
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        while not stop.is_set():
            started_s = time.perf_counter()
            reply = client.post("/v2/models/classifier/infer", content=body, headers={HEADER_LENGTH: length})
            took_s = time.perf_counter() - started_s
            if reply.status_code != 200:
                seen.append(Seen(reply.status_code, "", b"", took_s))
                continue
            answer = parse_response(reply.content, reply.headers.get(HEADER_LENGTH))
            numbers = answer.output("probabilities").array.tobytes()
            seen.append(Seen(200, answer.model_version, numbers, took_s))
            time.sleep(0.002)
    return seen


def test_no_request_fails_or_waits_while_versions_are_swapped(tmp_path: Path) -> None:
    write_bundle(tmp_path, "classifier", 1)

    def is_default(client: httpx.Client, version: str) -> bool:
        models = client.get("/v1/stage").json()["models"]
        return [entry["version"] for entry in models if entry["is_default"]] == [version]

    stop = threading.Event()
    settings = {"SPLITWAY_RESCAN_MS": "20", "SPLITWAY_KEEP_OLD_S": "0"}
    with serve_process("classifier", tmp_path, **settings) as client, ThreadPoolExecutor(CALLERS) as threads:
        calls = [threads.submit(_call, client.base_url, stop) for _ in range(CALLERS)]
        try:
            for version in range(2, SWAPS + 2):
                write_bundle(tmp_path, "classifier", version)
                until(lambda number=str(version): is_default(client, number), 10)  # type: ignore[misc]
        finally:
            stop.set()
        seen = [each for call in calls for each in call.result()]
    expected = {
        folder.name: oracle(folder, FEATURES)["probabilities"].tobytes()
        for folder in (tmp_path / "classifier").iterdir()
    }
    assert len(expected) == len(set(expected.values())) == SWAPS + 1
    assert {each.status for each in seen} == {200}
    assert {each.version for each in seen} >= set(map(str, range(2, SWAPS + 1)))
    assert all(each.probabilities == expected[each.version] for each in seen)
    assert max(each.took_s for each in seen) < MOST_S
    assert len(seen) > 10 * SWAPS
