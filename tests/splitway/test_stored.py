"""Files of another version: what it says more is ignored and kept, another format is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitway.bundle import load_bundle, read_manifest, write_manifest
from splitway.bundle_graph import find_chain
from splitway.cli.doctor.bundles import releases as check_releases
from splitway.cli.doctor.doctor import Facts, examine
from splitway.errors import BundleError, SetupError
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.local.places import Place
from splitway.local.run_file import read_run
from splitway.releases import Releases, change_releases, read_releases
from splitway.runtime.catalog.catalog import Scope, in_use, look
from splitway.runtime.inprocess import InProcessStage, in_turn

OLD_BUNDLES = Path(__file__).parents[1] / "data" / "bundles_e969378"
"""Written by the commit before manifests had a format: a table's four numbers to three classes."""


def _edit(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def _say_more(manifest: dict[str, Any]) -> None:
    manifest["takes"] = [{"space": "in:tensors", "tensors": []}]
    manifest["cut"]["flops"] = 7
    for entry in (*manifest["inputs"], *manifest["engine_files"]):
        entry["more"] = {"deep": [1, None]}


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD_BUNDLES, tmp_path / "models"))


def _answer(models: Path) -> dict[str, Any]:
    chain = find_chain(models)
    stages = [InProcessStage(load_bundle(each.folder)) for each in (chain.extractor, *chain.heads.values())]
    return dict(in_turn(stages, {"x": np.ones((1, 4), np.float32)}))


def test_bundles_from_before_there_were_formats_are_served(bundles: Path) -> None:
    assert "format" not in json.loads((bundles / "classifier" / "1" / "stage.json").read_text())
    answer = _answer(bundles)["probabilities"]
    assert answer.shape == (1, 3)
    assert abs(answer.sum() - 1) < 1e-5


def test_bundles_that_say_more_are_served_alike(bundles: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = _answer(bundles)
    for path in bundles.glob("*/1/stage.json"):
        _edit(path, _say_more)
    np.testing.assert_array_equal(_answer(bundles)["probabilities"], before["probabilities"])
    _answer(bundles)
    about_head = [line.getMessage() for line in caplog.records if "classifier/1/stage.json" in line.getMessage()]
    assert len(about_head) == 1
    assert about_head[0].endswith("ignores: takes, inputs.more, engine_files.more, cut.flops")


def test_what_a_newer_version_said_is_not_lost_when_the_file_is_written_again(bundles: Path, tmp_path: Path) -> None:
    folder = bundles / "classifier" / "1"
    _edit(folder / "stage.json", _say_more)
    write_manifest(folder, read_manifest(folder).model_copy(update={"version": "1"}))
    assert json.loads((folder / "stage.json").read_text())["cut"]["flops"] == 7
    path = tmp_path / "releases.json"
    path.write_text(json.dumps({"format": 1, "policy": {"soak_s": 60}}))
    change_releases(path, lambda releases: releases)
    assert json.loads(path.read_text())["policy"] == {"soak_s": 60}


@pytest.mark.parametrize("found", [2, 0, "1.0", True, None], ids=repr)
def test_another_format_is_refused_before_anything_else_is_looked_at(
    bundles: Path, tmp_path: Path, found: object
) -> None:
    def of_the_future(manifest: dict[str, Any]) -> None:
        manifest.clear()
        manifest.update(format=found, stages=[])

    folder = bundles / "classifier" / "1"
    _edit(folder / "stage.json", of_the_future)
    said = f"format: it is of format {found!r}, and this version reads format 1: use a newer Splitway"
    with pytest.raises(BundleError) as bundle:
        read_manifest(folder)
    assert str(bundle.value) == f"{folder / 'stage.json'} is not a manifest: {said}"
    path = tmp_path / "releases.json"
    path.write_text(json.dumps({"format": found, "history": "elsewhere"}))
    with pytest.raises(SetupError) as releases:
        read_releases(path)
    assert str(releases.value) == f"{path} is not a file of releases: {said}"


def test_what_is_written_says_its_format(bundles: Path) -> None:
    folder = bundles / "classifier" / "1"
    write_manifest(folder, read_manifest(folder))
    assert json.loads((folder / "stage.json").read_text())["format"] == 1
    assert json.loads(Releases().model_dump_json())["format"] == 1


def test_a_run_file_that_says_more_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    gateway, stage = {"url": "http://127.0.0.1:1", "pid": 7}, {"url": "http://127.0.0.1:2", "pid": 8, "more": [1]}
    path.write_text(json.dumps({"started": "now", "by": {"user": 1}, "gateway": gateway, "classifier": [stage]}))
    run = read_run(path)
    assert run is not None
    assert run.places == [
        Place("gateway", "http://127.0.0.1:1", 7),
        Place("classifier", "http://127.0.0.1:2", 8),
    ]


def test_an_unknown_field_cannot_move_the_cursor_of_a_terminal(bundles: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = bundles / "classifier" / "1"
    _edit(folder / "stage.json", lambda manifest: manifest.update({"\x1b[2Jx" * 1000: 1}))
    read_manifest(folder)
    (line,) = (record.getMessage() for record in caplog.records)
    assert "\\x1b" in line
    assert line.isprintable()
    assert len(line) < 1000


def _say_more_everywhere(bundles: Path) -> None:
    for path in bundles.glob("*/1/stage.json"):
        _edit(path, _say_more)
    (bundles / "releases.json").write_text(json.dumps({"format": 1, "policy": {"soak_s": 60}}))


def test_of_a_pipelines_processes_only_the_one_that_uses_a_file_names_its_unknown_fields(
    bundles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _say_more_everywhere(bundles)
    with (
        pytest.raises(SetupError, match="no stage nowhere"),
        LocalPipeline(LaunchPlan(bundles, port=0, replicas={"nowhere": 1}), lambda *_: None),
    ):
        pass
    assert look(bundles, Scope("classifier", "head", every_name=True)).keys() == {"classifier"}
    assert in_use(bundles / "releases.json", "head") == {}
    assert caplog.messages == []
    load_bundle(bundles / "classifier" / "1")
    assert [line.count("classifier/1/stage.json has fields") for line in caplog.messages] == [1]


def test_doctor_names_unknown_fields_in_its_list_and_nowhere_else(
    bundles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _say_more_everywhere(bundles)
    facts = Facts(None, bundles)
    found = examine({"bundles": lambda: facts.hashed[1], "r": lambda: check_releases(bundles, facts.releases[0])})
    says = [result.says for result in found if result.level == "warning"]
    assert len(says) == 3
    assert says[0].endswith(
        "classifier/1/stage.json has fields that this version of Splitway does not know, and "
        "ignores: takes, inputs.more, engine_files.more, cut.flops"
    )
    assert says[2].endswith("ignores: policy")
    assert caplog.messages == []
