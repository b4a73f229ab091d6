"""Engines are tried on real bundles, in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from splitway.bundle import engine_file_entry, read_manifest, write_manifest
from splitway.bundle_graph import find_chain
from splitway.cli.doctor.engines import engine, engines_of
from tests.bundles import make_bundle


def test_the_engine_runs_the_default_bundles(models: Path) -> None:
    tried = engines_of(find_chain(models))
    assert list(tried) == ["litert"]
    result = engine("litert", tried["litert"])
    assert result.level == "ok", result
    assert result.says == f"runs {models / 'feature_extractor' / '1'}, {models / 'classifier' / '1'}"


def test_the_engine_that_is_set_is_tried_instead(models: Path) -> None:
    assert list(engines_of(find_chain(models), "tensorflow")) == ["tensorflow"]


def test_a_bundle_that_is_whole_and_no_model_is_a_problem(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path, "classifier", 1, "head", "a")
    (folder / "model.tflite").write_bytes(b"TFL3" * 1000)
    entry = engine_file_entry(folder, folder / "model.tflite", "litert")
    write_manifest(folder, read_manifest(folder).model_copy(update={"engine_files": (entry,)}))
    result = engine("litert", [folder])
    assert result.level == "problem"
    assert "model.tflite cannot be loaded by LiteRT" in result.says


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        (subprocess.CompletedProcess([], -signal.SIGSEGV, "", ""), "it ended with SIGSEGV"),
        (
            subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: no"),
            "it could not be tried: ImportError: no",
        ),
        (subprocess.CompletedProcess([], 1, "", ""), "it printed nothing"),
        (subprocess.TimeoutExpired([], 30), "it has not run within 30 s"),
    ],
    ids=["crash", "import", "silent", "hangs"],
)
def test_an_engine_that_dies_is_a_problem_and_takes_nobody_with_it(
    ending: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        if isinstance(ending, Exception):
            raise ending
        assert isinstance(ending, subprocess.CompletedProcess)
        return ending

    monkeypatch.setattr(subprocess, "run", run)
    result = engine("litert", [Path(os.devnull)])
    assert result.level == "problem"
    assert says in result.says
