"""What an answer may be is decided for `classify --in-process` as it is for the gateway."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitway.cli.ask.classify import print_json
from splitway.cli.ask.classify_in_process import classify_in_process
from splitway.errors import BundleError, SetupError
from splitway.schemas.classify import HeadFailure
from splitway.wire.tensor import Arrays
from tests.tiny_bundles import write_bundle

NONSENSE = {
    "no number": np.full((1, 1000), np.nan, np.float32),
    "more than all": np.full((1, 1000), 1.5, np.float32),
    "less than nothing": np.full((1, 1000), -0.5, np.float32),
}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What every engine gives for all but the zeros that it is warmed up with, in place of its own."""
    given: dict[str, Any] = {}

    class Engine:
        name = "litert"

        def infer(self, inputs: Arrays) -> Arrays:
            calm = {"features": np.ones((1, 1280), np.float32), "probabilities": np.ones((1, 1000), np.float32)}
            return {**calm, **given} if any(array.any() for array in inputs.values()) else calm

    monkeypatch.setattr("splitway.api.pipeline.load_engine", lambda *_: Engine())
    return given


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_an_answer_that_can_be_none_fails_its_file(
    models: Path, samples: Path, says: dict[str, Any], answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    says["probabilities"] = answer
    results = classify_in_process([samples / "cat.jpg"], models, [], top_k=3)
    assert [result.failed for result in results] == [True]
    print_json(results)
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert "NaN" in said["error"] or "are impossible" in said["error"], said


def test_of_several_heads_each_fails_for_itself(models: Path, samples: Path, says: dict[str, Any]) -> None:
    says["probabilities"] = np.full((1, 1000), 1e-3, np.float32)
    good = classify_in_process([samples / "cat.jpg"], models, ["classifier"], top_k=1)[0]
    assert (good.failed, good.heads["classifier"].status) == (False, 200)
    says["probabilities"] = NONSENSE["more than all"]
    bad = classify_in_process([samples / "cat.jpg"], models, ["classifier"], top_k=1)[0]
    assert (bad.failed, bad.error, bad.heads["classifier"].status) == (True, None, 502)
    said = bad.heads["classifier"]
    assert isinstance(said, HeadFailure)
    assert said.error.code == "bad_stage_answer"


@pytest.mark.parametrize("head", ["head", "detector"])
def test_a_model_without_pictures_is_named_with_what_it_takes_and_how_to_ask_it(tmp_path: Path, head: str) -> None:
    write_bundle(tmp_path, "feature_extractor", 1, "extractor")
    write_bundle(tmp_path, "classifier", 1, head)
    with pytest.raises(SetupError, match=r"takes 'x' FP32 \[-1, 4\], 'ids' INT32 .* and no picture.*pipeline/infer"):
        classify_in_process([tmp_path / "cat.jpg"], tmp_path, [], top_k=3)


def test_a_damaged_newest_bundle_is_passed_over_and_named(
    models: Path, samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a stage goes on with the newest that is whole."""
    shutil.copytree(models / "feature_extractor", tmp_path / "feature_extractor")
    for version in ("1", "2"):
        shutil.copytree(models / "classifier" / "1", tmp_path / "classifier" / version)
    newest = tmp_path / "classifier" / "2"
    manifest = json.loads((newest / "stage.json").read_text())
    (newest / "stage.json").write_text(json.dumps(manifest | {"version": "2"}))
    content = bytearray((newest / "model.tflite").read_bytes())
    content[1000] ^= 1
    (newest / "model.tflite").write_bytes(content)
    (result,) = classify_in_process([samples / "cat.jpg"], tmp_path, [], top_k=1)
    assert result.reply is not None
    assert (result.reply["label"], result.reply["model"]["classifier"]) == ("Egyptian cat", "1")
    assert f"{newest} is passed over, as stages do: " in capsys.readouterr().err
    shutil.rmtree(tmp_path / "classifier" / "1")
    with pytest.raises(BundleError, match="SHA-256"):
        classify_in_process([samples / "cat.jpg"], tmp_path, [], top_k=1)
