"""`splitway down` where nothing runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from splitway.cli.launched import pipelines
from splitway.cli.main import app
from testkit.support import free_port
from tests.splitway.cli.fake_gateway import Answer, Asked, fake_gateway
from tests.splitway.cli.pipelines import pipeline


@pytest.mark.parametrize("status", [200, 401])
def test_down_tells_of_a_gateway_that_was_started_elsewhere_and_shows_it_no_key(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPLITWAY_API_KEY", "secret")
    seen: list[Asked] = []
    with fake_gateway(lambda _: Answer(status, pipeline()), seen=seen) as url:
        monkeypatch.setattr(pipelines, "GATEWAY_PORT", int(url.rpartition(":")[2]))
        ran = CliRunner().invoke(app, ["down"])
    assert ran.exit_code == 0
    assert f"no pipeline runs from this folder; the gateway at {url} was started elsewhere" in ran.stderr
    assert [asked.headers.get("authorization") for asked in seen] == [None]
    monkeypatch.setattr(pipelines, "GATEWAY_PORT", free_port())
    assert CliRunner().invoke(app, ["down"]).stderr == "nothing is stopped: no pipeline runs from this folder\n"
