"""One caller sends what the model cannot digest; another one, beside it, loses nothing. Real processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from tests.tiny_bundles import WIDTH, write_bundle

ROUNDS = 60
Inputs = Mapping[str, NDArray[Any]]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An extractor that passes on what it is given, and a head that gives NaN for large features."""
    write_bundle(tmp_path, "feature_extractor", 1, "extractor")
    write_bundle(tmp_path, "classifier", 1, "steep")
    return tmp_path


@pytest.fixture
def url(models: Path) -> Iterator[str]:
    plan = LaunchPlan(models, port=0, replicas={"feature_extractor": 2}, run_file=None)
    with LocalPipeline(plan, lambda *_: None) as pipeline:
        pipeline.wait_ready(60)
        yield pipeline.gateway.url


def _ask(client: httpx.Client, inputs: Inputs) -> httpx.Response:
    tensors = tuple(Tensor.of_array(name, array) for name, array in inputs.items())
    body, length = build_request(InferRequest(tensors))
    return client.post("/v2/models/pipeline/infer", content=body, headers={HEADER_LENGTH: length})


def _inputs(value: float) -> Inputs:
    return {"x": np.full((2, WIDTH), value, np.float32), "ids": np.zeros((2, 2), np.int32)}


def test_a_poisoning_caller_takes_nothing_from_the_one_beside_it(url: str) -> None:
    poison = {**_inputs(0.1), "x": np.array([[0.1] * WIDTH, [3e38] * WIDTH], np.float32)}
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        for _ in range(ROUNDS):
            for _ in range(3):
                bad = _ask(client, poison)
                assert bad.status_code == 400, bad.text
                assert "row 1 of the input" in bad.json()["error"]
                assert "127.0.0.1" not in bad.text
            assert _ask(client, _inputs(0.1)).status_code == 200
        state = client.get("/v1/pipeline").json()
        replicas = [replica for stage in state["stages"] for replica in stage["replicas"]]
        assert {replica["breaker"] for replica in replicas} == {"closed"}
        assert state["gateway"]["requests"] == {"ok": ROUNDS, "invalid_input": 3 * ROUNDS}
