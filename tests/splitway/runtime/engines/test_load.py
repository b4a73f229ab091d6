from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest

from splitway.bundle import Bundle, engine_file_entry, load_bundle, read_manifest, write_manifest
from splitway.errors import BundleError, SetupError
from splitway.manifest import EngineName
from splitway.runtime.engines.load import ENGINES, load_engine, warm_up, zeros
from splitway.runtime.settings import StageSettings
from testkit.support import random_pixels
from tests.bundles import make_bundle


def test_both_engines_agree(extractor_bundle: Bundle) -> None:
    pixels = random_pixels(2)
    litert, tensorflow = (
        load_engine(name, extractor_bundle, 2).infer({"pixels": pixels})["features"]
        for name in ("litert", "tensorflow")
    )
    np.testing.assert_allclose(litert, tensorflow, atol=1e-4)


def test_threads_do_not_change_the_bits(extractor_bundle: Bundle) -> None:
    pixels = random_pixels(2)
    one, two = (load_engine("litert", extractor_bundle, n).infer({"pixels": pixels})["features"] for n in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_a_bundle_without_files_for_the_engine_is_refused(head_bundle: Bundle) -> None:
    manifest = head_bundle.manifest.model_copy(update={"engine_files": ()})
    with pytest.raises(BundleError, match="no files for the engine 'litert'"):
        load_engine("litert", Bundle(head_bundle.folder, manifest, ()), 1)


def test_a_file_that_is_no_model_is_named(models: Path, tmp_path: Path) -> None:
    """Its hash is right, so that the engine itself has to notice."""
    folder = Path(shutil.copytree(models / "classifier" / "1", tmp_path / "1"))
    file = folder / "model.tflite"
    file.write_bytes(b"TFL3" * 1000)
    entry = engine_file_entry(folder, file, "litert")
    write_manifest(folder, read_manifest(folder).model_copy(update={"engine_files": (entry,)}))
    with pytest.raises(BundleError, match=r"model\.tflite cannot be loaded"):
        load_engine("litert", load_bundle(folder, role="head"), 1)


def test_warming_up_checks_the_manifests_shapes(head_bundle: Bundle) -> None:
    engine = load_engine("litert", head_bundle, 1)
    warm_up(engine, head_bundle)
    assert engine.infer(zeros(head_bundle.manifest.inputs, 5))["probabilities"].shape == (5, 1000)


def test_every_engine_that_a_manifest_can_name_is_known() -> None:
    assert set(ENGINES) == set(get_args(EngineName))


@pytest.mark.parametrize(("name", "extra"), [("litert", "serve"), ("tensorflow", "split")])
def test_an_engine_that_is_not_installed_says_what_to_install(
    head_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules, f"splitway.runtime.engines.{name}", raising=False)
    monkeypatch.setitem(sys.modules, {"litert": "ai_edge_litert.interpreter", "tensorflow": "tensorflow"}[name], None)
    with pytest.raises(SetupError, match=rf"pip install splitway\[{extra}\]$"):
        load_engine(name, head_bundle, 1)


@pytest.mark.parametrize(
    ("told", "proved_in", "engine"),
    [("auto", "tensorflow", "tensorflow"), ("auto", "litert", "litert"), ("litert", "tensorflow", "litert")],
)
def test_a_bundle_is_run_by_what_it_was_proved_in_unless_told_otherwise(
    head_bundle: Bundle, told: Literal["auto", "litert"], proved_in: str, engine: str
) -> None:
    manifest = head_bundle.manifest.model_copy(update={"engine": proved_in})
    assert StageSettings(engine=told).engine_for(manifest) == engine


def test_matplotlib_can_be_imported_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    make_bundle(tmp_path, "classifier", 1, "head", "a")
    with pytest.raises(BundleError):
        load_engine("tensorflow", load_bundle(tmp_path / "classifier" / "1"), 1)
    assert "matplotlib" not in sys.modules
