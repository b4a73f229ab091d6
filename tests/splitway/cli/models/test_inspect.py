"""`splitway inspect` on the default model and on what is no model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitway.bundle import Bundle
from testkit.support import one_line, splitway


@pytest.fixture
def source(models: Path, extractor_bundle: Bundle) -> Path:
    return models / extractor_bundle.manifest.source_model.path


def test_the_default_models_best_cut_is_its_pooled_features(source: Path, tmp_path: Path) -> None:
    result = splitway("inspect", source, "--json", "--plot", tmp_path / "cuts.svg")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    cuts = {cut["layer"]: cut for cut in found["cuts"]}
    assert found["best"] == "features"
    assert cuts["features"]["rank"] == 1
    assert cuts["features"]["bytes_per_row"] == 1280 * 4
    assert cuts["features"]["flops_before"] > 0.99
    assert sorted(cut["rank"] for cut in cuts.values() if cut["rank"]) == list(range(1, len(cuts)))
    assert [cut["layer"] for cut in cuts.values() if cut["why_not"]] == [list(cuts)[-1]]
    assert (tmp_path / "cuts.svg").read_text().startswith("<svg")


def test_every_layer_is_listed_with_the_reason_why_not(source: Path) -> None:
    result = splitway("inspect", source, "--all")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert any("features" in line and "99.7 %" in line for line in lines)
    assert sum("nothing is left for the head" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("name", "content"), [("none.keras", None), ("broken.keras", b"PK\x03\x04 half"), ("a.h5", b"")]
)
def test_what_is_no_model_is_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in one_line(splitway("inspect", tmp_path / name))
