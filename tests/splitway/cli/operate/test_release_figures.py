"""`splitway release list` beside a gateway: how the releases do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from splitway.cli.main import app
from testkit.support import free_port
from tests.splitway.cli.fake_gateway import Answer, fake_gateway
from tests.splitway.cli.pipelines import pipeline
from tests.tiny_bundles import SPACE

JULY = {"extractor": "1", "heads": {"classifier": "1"}, "feature_space": SPACE}
AUGUST = {**JULY, "heads": {"classifier": "2"}}
DOING = {
    "july": {**JULY, "served": True, "part": "current", "share": 90.0, "requests": 12481, "error_share": 0.0011},
    "august": {
        **AUGUST,
        "served": True,
        "part": "canary",
        "share": 10.0,
        "requests": 1377,
        "error_share": 0.0015,
        "compared": 140,
        "agreement": 0.9143,
        "drift": 0.02,
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    created = "2026-11-24T18:00:00+00:00"
    releases = {name: {**of, "created": created} for name, of in {"july": JULY, "august": AUGUST}.items()}
    canary = {"release": "august", "percent": 10, "since": created}
    content = {"format": 1, "releases": releases, "current": "july", "previous": None, "canary": canary}
    path = tmp_path / "releases.json"
    path.write_text(json.dumps({**content, "shadow": None, "history": []}))
    return path


def _list(file: Path, url: str, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["release", "list", "--file", str(file), "--url", url, *arguments])


def _gateway_says(releases: dict[str, Any]) -> Answer:
    return Answer(content=pipeline(releases={"current": "july", "releases": releases}))


def test_a_canary_is_listed_with_its_share_its_errors_and_its_agreement(file: Path) -> None:
    with fake_gateway(lambda _: _gateway_says(DOING)) as url:
        seen, told = _list(file, url), json.loads(_list(file, url, "--json").stdout)
    rows = {words[0]: words[1:] for line in seen.stdout.split("lately:")[1].splitlines() if (words := line.split())}
    assert rows["july"] == ["current", "90", "%", "12481", "0.1", "%", "0", "-"]
    assert rows["august"] == ["canary", "10", "%", "1377", "0.1", "%", "140", "91.4", "%"]
    assert "canary 10 %" in seen.stdout.split("lately:")[0]
    assert told["canary"]["release"] == "august"
    assert told["gateway"]["url"] == url
    assert told["gateway"]["releases"]["august"]["agreement"] == 0.9143


def test_a_gateway_of_other_releases_says_nothing_of_these(file: Path) -> None:
    other = {"july": {**DOING["july"], "heads": {"classifier": "7"}}}
    with fake_gateway(lambda _: _gateway_says(other)) as url:
        seen, told = _list(file, url), json.loads(_list(file, url, "--json").stdout)
    assert "lately" not in seen.stdout
    assert told["gateway"] is None


def test_a_gateway_that_is_named_and_does_not_answer_is_said(file: Path) -> None:
    seen = _list(file, f"http://127.0.0.1:{free_port()}")
    assert seen.exit_code == 0
    assert "july" in seen.stdout
    assert seen.stderr.startswith("without figures: no gateway answers at")


def test_without_a_gateway_the_file_is_all_there_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitway.local.runs.GATEWAY_PORT", free_port())
    seen = CliRunner().invoke(app, ["release", "list", "--file", str(file), "--json"])
    assert json.loads(seen.stdout)["gateway"] is None
    assert seen.stderr == ""
