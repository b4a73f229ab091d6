"""Any number of tensors of any number type, in and out; each is checked before anything is computed."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import Overloaded
from splitway.manifest import TensorEntry
from splitway.names import CALLER_HEADER, UNFIT_ROW_HEADER
from splitway.runtime.dataplane import _caller, _wait_for
from splitway.runtime.decode_room import DecodeLoad, DecodeRoom
from splitway.services.classifier import app as classifier
from splitway.services.feature_extractor import app as feature_extractor
from splitway.wire.context import CallContext
from splitway.wire.deadline import Deadline
from splitway.wire.messages import RequestedOutput
from tests.splitway.runtime.stage_app import FEATURES, StageClient, serving
from tests.tiny_bundles import SPACE, oracle, write_bundle

IDS = np.array([[1, 2], [3, -4]], np.int32)
X = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
async def extractor(tmp_path: Path) -> AsyncIterator[StageClient]:
    write_bundle(tmp_path, "feature_extractor", 1, "extractor")
    async with serving(feature_extractor.create_app, tmp_path) as stage:
        yield stage


@pytest.fixture
async def heads(tmp_path: Path) -> AsyncIterator[StageClient]:
    write_bundle(tmp_path, "classifier", 1)
    write_bundle(tmp_path, "detector", 1, "detector")
    async with serving(classifier.create_app, tmp_path) as stage:
        yield stage


async def test_a_backbone_of_several_tensors_takes_them_all(extractor: StageClient, tmp_path: Path) -> None:
    inputs = {"ids": IDS, "x": X}
    answer = await extractor.infer("feature_extractor", inputs, space=None)
    features = answer.output("features")
    assert features.array.tobytes() == oracle(tmp_path / "feature_extractor" / "1", inputs)["features"].tobytes()
    assert features.parameters["feature_space"] == answer.parameters["feature_space"] == SPACE
    (entry,) = (await extractor.stage())["models"]
    assert [(tensor["name"], tensor["datatype"]) for tensor in entry["inputs"]] == [("x", "FP32"), ("ids", "INT32")]


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"x": X}, "must be exactly 'x' and 'ids', not 'x'"),
        ({"x": X, "ids": IDS, "y": X}, "must be exactly 'x' and 'ids'"),
        ({"x": X, "ids": IDS[:1]}, "'ids' has 1 rows, but 'x' has 2"),
        ({"x": X, "ids": IDS.astype(np.int64)}, "'ids' must be INT32, not INT64"),
        ({"x": X, "ids": IDS[:, :1]}, "'ids' must have shape"),
        ({"x": X[:0], "ids": IDS[:0]}, "'x' has no rows"),
        ({"x": np.full_like(X, np.inf), "ids": IDS}, "'x' holds NaN or infinity"),
    ],
    ids=["incomplete", "too many", "unequal rows", "another type", "another shape", "no rows", "not finite"],
)
async def test_tensors_that_do_not_fit_are_refused(
    extractor: StageClient, inputs: dict[str, NDArray[Any]], says: str
) -> None:
    reply = await extractor.post("feature_extractor", inputs, space=None)
    assert reply.status_code == 400
    assert says in reply.json()["error"]


async def test_only_the_outputs_asked_for_are_given(heads: StageClient) -> None:
    both = await heads.infer("detector")
    assert [(tensor.name, tensor.datatype) for tensor in both.outputs] == [("score", "FP32"), ("index", "INT64")]
    assert both.output("index").array.tolist() == both.output("score").array.argmax(1).tolist()
    assert both.parameters["feature_space"] == SPACE
    assert "feature_space" not in both.output("score").parameters
    one = await heads.infer("detector", outputs=(RequestedOutput("index"),))
    assert [tensor.name for tensor in one.outputs] == ["index"]


async def test_classes_are_for_probabilities_alone(heads: StageClient) -> None:
    classes = await heads.infer("classifier", outputs=(RequestedOutput("probabilities", {"classification": 2}),))
    assert classes.output("probabilities").shape == (2, 2)
    for name in ("score", "index"):
        reply = await heads.post("detector", outputs=(RequestedOutput(name, {"classification": 2}),))
        assert reply.status_code == 400
        assert f"output '{name}' has no classes" in reply.json()["error"]


async def test_a_head_refuses_features_that_say_nothing_or_something_else(heads: StageClient) -> None:
    for space in (None, "fs:0123456789abcdef"):
        reply = await heads.post("detector", FEATURES, space=space)
        assert reply.status_code == 409
        assert f"this head was trained on {SPACE}" in reply.json()["error"]


async def test_names_and_versions_that_are_not_here(heads: StageClient) -> None:
    for path, says in (("other", "only 'classifier', 'detector'"), ("detector/versions/9", "here, only '1'")):
        reply = await heads.post(path)
        assert reply.status_code == 404
        assert says in reply.json()["error"]


UNKNOWN = np.array([[1, 2], [3, 50]], np.int32)


@pytest.mark.parametrize("engine_range", [None, (0, 49)], ids=["as the engine finds it", "by the manifest"])
async def test_a_word_that_the_model_does_not_know_is_the_callers_fault(
    tmp_path: Path, engine_range: tuple[int, int] | None
) -> None:
    entry = TensorEntry(name="ids", datatype="INT32", shape=(-1, 2), range=engine_range)
    write_bundle(tmp_path, "feature_extractor", 1, "words", inputs=(entry,))
    async with serving(feature_extractor.create_app, tmp_path) as stage:
        for _ in range(3):
            reply = await stage.post("feature_extractor", {"ids": UNKNOWN}, space=None)
            assert (reply.status_code, reply.headers[UNFIT_ROW_HEADER]) == (400, "1")
            known = (
                "has 50; the model knows 0 to 49" if engine_range else "has numbers from 3 to 50: the model fails on it"
            )
            assert reply.json()["error"].startswith(f"ids: row 1 {known}")
            assert (await stage.post("feature_extractor", {"ids": UNKNOWN[:1]}, space=None)).status_code == 200


@pytest.mark.parametrize("rows", [1, 3])
async def test_finite_numbers_that_overflow_in_the_model_are_the_callers_fault(tmp_path: Path, rows: int) -> None:
    write_bundle(tmp_path, "classifier", 1, "steep")
    features = np.zeros((rows, 4), np.float32)
    features[rows - 1] = 3e38
    async with serving(classifier.create_app, tmp_path) as stage:
        for _ in range(3):
            reply = await stage.post("classifier", {"features": features})
            assert (reply.status_code, reply.headers[UNFIT_ROW_HEADER]) == (400, str(rows - 1))
            assert f"features: row {rows - 1} has 3e+38: the model gives NaN" in reply.json()["error"]
        await stage.infer("classifier")


async def test_a_malformed_call_names_no_row(heads: StageClient) -> None:
    reply = await heads.post("detector", {"features": FEATURES["features"][:, :1]})
    assert reply.status_code == 400
    assert UNFIT_ROW_HEADER not in reply.headers


async def test_an_engine_that_fails_on_its_warm_up_input_as_well_is_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path) as stage:

        def broken(*_: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter.invoke", broken)
        reply = await stage.post("classifier")
        assert reply.status_code == 500
        assert UNFIT_ROW_HEADER not in reply.headers


async def test_while_a_run_hangs_the_stage_says_that_it_is_not_live_and_tells_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path, max_run_s=0.01) as stage:
        rest = threading.Event()
        monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter.invoke", lambda *_: rest.wait(30))
        reply = await stage.post("classifier")
        assert (reply.status_code, reply.json()["error"]) == (503, "the stage is stopping")
        for path in ("/livez", "/v2/health/live"):
            live = await stage.http.get(path)
            assert live.status_code == 503
            assert live.json()["reason"].startswith("classifier version 1 hangs: one run has taken")
        assert (await stage.http.get("/readyz")).status_code == 503
        rest.set()


@pytest.mark.parametrize(
    ("headers", "caller"), [({CALLER_HEADER: "ab12"}, "ab12"), ({}, "10.1.2.3:4567")], ids=["the gateway's", "its own"]
)
def test_a_caller_is_who_the_gateway_says_or_else_a_connection(headers: dict[str, str], caller: str) -> None:
    context = CallContext(Deadline.after(1), headers, scope={"client": ("10.1.2.3", 4567)})
    assert _caller(context) == caller


async def test_what_finds_no_memory_in_its_time_is_told_to_come_again_before_that_is_up() -> None:
    room = DecodeRoom(100_000_000, threads=1)
    places = [room.place(DecodeLoad(60_000_000, False, ())) for _ in range(2)]
    assert places[1] is not None
    deadline = Deadline.after(0.2)
    with pytest.raises(Overloaded, match="the memory for decoding pictures is in use") as refused:
        await _wait_for(places[1], deadline)
    assert refused.value.retry_after_s == 1
    assert not deadline.expired
