"""The trouble that replicas get into. Each is a context: trouble begins on entry and ends on exit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import orjson

from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_response
from testkit.chaos.arena import Replicas
from testkit.chaos.proxy import Lie, Proxy, Toxics

Trouble = Callable[[Replicas], AbstractContextManager[None]]


@dataclass(frozen=True)
class Scenario:
    """One kind of trouble and the load under which it happens."""

    trouble: Trouble
    rate: float = 25.0
    seconds: float = 8.0
    begins_s: float = 2.0
    lasts_s: float = 60.0
    """Trouble ends after this, or with the load."""


def _http(status: str, body: bytes, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _half_a_tensor() -> bytes:
    tensor = Tensor.of_array("probabilities", np.ones((1, 1000), np.float32))
    request = InferRequest((), parameters={"binary_data_output": True})
    body, length = build_response(InferResponse("classifier", "1", (tensor,)), request)
    return _http("200 OK", body[: len(body) // 2], **{HEADER_LENGTH: length or "0"})


REFUSAL = _http("503 Service Unavailable", orjson.dumps({"error": "not now"}), **{"content-type": "application/json"})
GARBAGE = _http("200 OK", bytes(range(256)) * 4, **{"content-type": "application/octet-stream"})
HALF_A_TENSOR = _half_a_tensor()


def told(stage: str, number: signal.Signals) -> Trouble:
    """The first replica's process gets a signal; one that was frozen is thawed in the end."""

    @contextmanager
    def trouble(replicas: Replicas) -> Iterator[None]:
        pid = replicas.pid(stage)
        os.kill(pid, number)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return trouble


def bad_line(stage: str, toxics: Toxics) -> Trouble:
    """The line to the first replica is bad."""

    @contextmanager
    def trouble(replicas: Replicas) -> Iterator[None]:
        proxy = replicas.proxies[stage][0]
        proxy.toxics = toxics
        try:
            yield
        finally:
            proxy.toxics = Toxics()

    return trouble


def lies(stage: str, lie: Lie, *, all_replicas: bool = False) -> Trouble:
    """The first replica, or all of them, answer a share of the inferences with something else."""

    @contextmanager
    def trouble(replicas: Replicas) -> Iterator[None]:
        liars = _chosen(replicas, stage, all_replicas)
        for proxy in liars:
            proxy.lie = lie
        try:
            yield
        finally:
            for proxy in liars:
                proxy.lie = None

    return trouble


def cut_off(stage: str, *, all_replicas: bool = False) -> Trouble:
    """The network to the first replica, or to all of them, is cut; connections are refused."""

    @contextmanager
    def trouble(replicas: Replicas) -> Iterator[None]:
        cut = _chosen(replicas, stage, all_replicas)
        for proxy in cut:
            proxy.down()
        try:
            yield
        finally:
            for proxy in cut:
                proxy.up()

    return trouble


def _chosen(replicas: Replicas, stage: str, all_replicas: bool) -> list[Proxy]:
    return replicas.proxies[stage] if all_replicas else replicas.proxies[stage][:1]


OUTAGE_S = 20.0
SCENARIOS = {
    "SIGTERM, extractor": Scenario(told("feature_extractor", signal.SIGTERM)),
    "SIGTERM, classifier": Scenario(told("classifier", signal.SIGTERM)),
    "SIGKILL, extractor": Scenario(told("feature_extractor", signal.SIGKILL)),
    "SIGKILL, classifier": Scenario(told("classifier", signal.SIGKILL)),
    "SIGSTOP, extractor": Scenario(told("feature_extractor", signal.SIGSTOP)),
    "network cut": Scenario(cut_off("feature_extractor")),
    "reset_peer": Scenario(bad_line("classifier", Toxics(reset_peer=True))),
    "timeout": Scenario(bad_line("classifier", Toxics(timeout=True))),
    "limit_data": Scenario(bad_line("classifier", Toxics(limit_data_bytes=700))),
    "slicer": Scenario(bad_line("classifier", Toxics(slicer_bytes=100))),
    "bandwidth": Scenario(bad_line("classifier", Toxics(bandwidth_kb_s=100))),
    "latency": Scenario(bad_line("classifier", Toxics(latency_s=0.3))),
    "garbage": Scenario(lies("classifier", Lie(GARBAGE))),
    "half a tensor": Scenario(lies("classifier", Lie(HALF_A_TENSOR))),
    "one replica refuses 60 %": Scenario(lies("classifier", Lie(REFUSAL, 0.6)), rate=50, seconds=20),
    "both replicas refuse 30 %": Scenario(
        lies("classifier", Lie(REFUSAL, 0.3), all_replicas=True), rate=50, seconds=22
    ),
    "outage of 20 s, refused": Scenario(
        lies("classifier", Lie(REFUSAL), all_replicas=True), seconds=28, lasts_s=OUTAGE_S
    ),
    "outage of 20 s, cut": Scenario(cut_off("classifier", all_replicas=True), seconds=28, lasts_s=OUTAGE_S),
}
"""One of two replicas of one stage is in trouble, unless the name says otherwise."""
