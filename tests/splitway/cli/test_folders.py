"""Which folder of bundles is meant where none is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from splitway.cli.folders import print_next_of_head, print_next_of_version, served_folder, warn_before_version
from splitway.cli.main import app
from splitway.local.places import Place
from splitway.local.run_file import Launcher, write_run_file
from splitway.releases import FILE, Release, Releases, write_releases

URL = "http://127.0.0.1:1"
Said = pytest.CaptureFixture[str]
SUMMER = Release(extractor="1", heads={"classifier": "1"}, feature_space="fs:0123456789abcdef", created="")


def serve(models: Path) -> None:
    """Let a pipeline run from here."""
    Path(".splitway").mkdir(mode=0o755)
    launcher = Launcher.of_this_process(models, None, None, restarts=True)
    write_run_file(Path(".splitway/run.json"), [Place("gateway", URL, 1)], launcher)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundles where one stands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place, "is_alive", property(lambda _: True))
    Path("shapes").mkdir()
    return Path("shapes")


def test_what_comes_after_a_version_is_what_its_folder_is_used_for(models: Path, capsys: Said) -> None:
    warn_before_version(models, "2")
    print_next_of_version(models, "2")
    assert capsys.readouterr().err == "next: splitway up --models shapes\n"
    serve(models)
    warn_before_version(models, "2")
    assert "version 2 will take all requests once it is there" in (said := capsys.readouterr().err)
    assert said.endswith(
        "splitway release create before --models shapes && splitway release promote before --models shapes\n"
    )
    print_next_of_version(models, "2")
    assert capsys.readouterr().err == "the running pipeline loads it within two seconds\nnext: splitway top\n"
    write_releases(models / FILE, Releases(releases={"version-2": SUMMER}, current="version-2"))
    warn_before_version(models, "2")
    print_next_of_version(models, "2")
    said = capsys.readouterr().err
    assert said.startswith("release version-2 is current, and requests go on to extractor 1\n")
    assert said.endswith(
        "next: splitway release create version-2-2 --extractor 2 --models shapes && "
        "splitway release canary version-2-2 --percent 10 --models shapes\n"
    )


def test_a_head_that_the_current_release_does_not_name_needs_one_that_does(models: Path, capsys: Said) -> None:
    print_next_of_head(models, "pets", "1", "1")
    assert capsys.readouterr().err == "next: splitway classify PICTURE --heads pets\n"
    write_releases(models / FILE, Releases(releases={"summer": SUMMER}, current="summer"))
    print_next_of_head(models.resolve(), "pets", "1", "1")
    said = capsys.readouterr().err
    assert "release summer is current, which is without pets 1" in said
    promote = "splitway release promote pets-1 --models shapes\n"
    keeps = "--extractor 1 --head classifier=1 --head pets=1 --models shapes"
    assert said.endswith(f"next: splitway release create pets-1 {keeps} && {promote}")
    print_next_of_head(models, "pets", "1", "2")  # whose features are not the current release's
    assert capsys.readouterr().err.endswith(f" create pets-1 --extractor 2 --models shapes && {promote}")
    print_next_of_head(models, "classifier", "1", "1")
    assert "release" not in capsys.readouterr().err


def test_without_a_folder_it_is_the_running_pipelines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place, "is_alive", property(lambda _: True))
    models, served = Path("models"), tmp_path / "served"
    assert served_folder(models, None, "--name") == models
    serve(served)
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
    serve(served)
    asks = {"_SPLITWAY_COMPLETE": "complete_bash", "COMP_WORDS": "splitway release promote ", "COMP_CWORD": "3"}
    assert CliRunner().invoke(app, [], prog_name="splitway", env=asks).output.split() == ["autumn"]
    ran = CliRunner().invoke(app, ["release", "promote", "autumn"])
    assert ran.exit_code == 0, ran.output
    assert json.loads((served / "releases.json").read_text())["current"] == "autumn"
    named = CliRunner().invoke(app, ["release", "promote", "autumn", "--models", "models"])
    assert named.exit_code == 1
