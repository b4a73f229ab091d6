"""Which folder of bundles is meant where none is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from splitway.cli.folders import served_folder
from splitway.cli.main import app
from splitway.local.places import Place
from splitway.local.run_file import Launcher, write_run_file

URL = "http://127.0.0.1:1"


def test_without_a_folder_it_is_the_running_pipelines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place, "is_alive", property(lambda _: True))
    models, served = Path("models"), tmp_path / "served"
    assert served_folder(models, None, "--name") == models
    Path(".splitway").mkdir(mode=0o755)
    launcher = Launcher.of_this_process(served, None, None, restarts=True)
    write_run_file(Path(".splitway/run.json"), [Place("gateway", URL, 1)], launcher)
    assert served_folder(models, None, "--name") == served
    assert f"using {served}, which" in capsys.readouterr().err
    assert served_folder(served, None, "--name") == served
    Path(".splitway").chmod(0o777)  # any user can have written it
    assert served_folder(models, None, "--name") == models


def test_release_commands_are_about_the_running_pipelines_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place, "is_alive", property(lambda _: True))
    served = tmp_path / "served"
    served.mkdir()
    release = {"extractor": "1", "heads": {"classifier": "1"}, "feature_space": "fs:0123456789abcdef"}
    release |= {"bodies": {}, "created": "2026-11-30T12:00:00Z"}
    (served / "releases.json").write_text(json.dumps({"format": 1, "releases": {"autumn": release}}))
    Path(".splitway").mkdir(mode=0o755)
    launcher = Launcher.of_this_process(served, None, None, restarts=True)
    write_run_file(Path(".splitway/run.json"), [Place("gateway", URL, 1)], launcher)
    asks = {"_SPLITWAY_COMPLETE": "complete_bash", "COMP_WORDS": "splitway release promote ", "COMP_CWORD": "3"}
    assert CliRunner().invoke(app, [], prog_name="splitway", env=asks).output.split() == ["autumn"]
    ran = CliRunner().invoke(app, ["release", "promote", "autumn"])
    assert ran.exit_code == 0, ran.output
    assert json.loads((served / "releases.json").read_text())["current"] == "autumn"
    named = CliRunner().invoke(app, ["release", "promote", "autumn", "--models", "models"])
    assert named.exit_code == 1
