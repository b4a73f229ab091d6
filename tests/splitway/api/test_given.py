"""An option that changes nothing is refused by every command; defaults and variables are not options given."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from splitway.cli.main import app

IDLE = [
    ("classify cat.jpg --in-process --url http://127.0.0.1:1", "--url"),
    ("classify cat.jpg --url http://127.0.0.1:1 --models m", "--models"),
    ("classify cat.jpg --models m", "--models"),
    ("bench cat.jpg --url http://127.0.0.1:1 --models m", "--models"),
    ("bench cat.jpg --explain --clients 1", "--clients"),
    ("build --fetch-only --force", "--force"),
    ("build --fetch-only --out m --version 2", "--out and --version"),
    ("inspect none.keras --json --all", "--all"),
    ("serve gateway --fd 5 --port 9", "--port"),
    ("top --once --interval 2", "--interval"),
    ("train-head --images i --name n --body body_1=http://127.0.0.1:1", "--body"),
    ("verify m --key k.pem --allow-legacy", "--allow-legacy"),
    ("certs create --forget-old-ca --days 2 --new-ca", "--days and --new-ca"),
    ("up --certs c", "--certs"),
    *((f"release {each} --file r.json --models m", "--models") for each in ("list", "promote x", "rollback")),
    *((f"release {each} x --percent 5 --file r.json --models m", "--models") for each in ("canary", "shadow")),
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))


@pytest.mark.parametrize(("command", "option"), IDLE, ids=[command for command, _ in IDLE])
def test_an_option_without_effect_is_refused(command: str, option: str, capfd: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(app, command.split())
    said = result.stderr or capfd.readouterr().err
    assert result.exit_code == 1, result.output
    has = "have" if " and " in option else "has"
    assert said.startswith(f"splitway: {option} {has} no effect: "), said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "command", ["classify none.jpg --url http://127.0.0.1:1", "classify none.jpg --in-process", "top --once"]
)
def test_variables_are_for_every_command_and_not_refused(command: str) -> None:
    variables = {"SPLITWAY_URL": "http://127.0.0.1:1", "SPLITWAY_MODELS": "m"}
    result = CliRunner().invoke(app, command.split(), env=variables)
    assert "no effect" not in result.output
