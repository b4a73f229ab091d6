"""SPLITWAY_* variables: known, misspelt, wrong and in contradiction."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from typer.main import get_command

from splitway.cli.doctor.variables import (
    SETTINGS,
    find_settings,
    known_variables,
    readable,
    settings,
    threads,
    traces,
    unknown,
    variables_of,
)
from splitway.cli.main import app
from splitway.cli.operate.keys import create

ROOT = Path(__file__).parents[4]
_NAME = re.compile(r"\bSPLITWAY_[A-Z][A-Z_]*[A-Z]\b")


@pytest.fixture(scope="module")
def known() -> set[str]:
    """All that the apps and the commands read."""
    kinds = [kind for app_ in SETTINGS if (kind := find_settings(app_)) is not None]
    assert len(kinds) == len(SETTINGS)
    return known_variables(kinds, variables_of(get_command(app)))


@pytest.fixture(autouse=True)
def _none_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SPLITWAY_")]:
        monkeypatch.delenv(name)


def test_every_variable_that_documents_compose_and_sources_name_is_known(known: set[str]) -> None:
    files = [
        ROOT / "README.md",
        ROOT / "compose.yaml",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.yaml"),
    ]
    files += [
        file for folder in ("splitway", "gateway", "services", "deploy") for file in (ROOT / folder).rglob("*.py")
    ]
    named = {name: file for file in files for name in _NAME.findall(file.read_text(encoding="utf-8"))}
    assert {name: str(file) for name, file in named.items() if name not in known} == {}


def test_variables_that_are_read_are_right(known: set[str]) -> None:
    (result,) = unknown({"SPLITWAY_THREADS": "2", "HOME": "/", "SPLITWAY_URL": "http://x"}, known)
    assert result.level == "ok"
    assert result.says == "set and known: SPLITWAY_THREADS, SPLITWAY_URL"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SPLITWAY_MODLES", "did you mean SPLITWAY_MODELS?"),
        ("SPLITWAY_THREAD", "did you mean SPLITWAY_THREADS?"),
        ("splitway_hedges", "did you mean SPLITWAY_HEDGE?"),
        ("SPLITWAY_PROBE_INTERVAL_S", "did you mean SPLITWAY_PROBE_INTERVAL_MS?"),
        ("SPLITWAY_XYZZY_PLUGH", "unset it; docs/operations.md lists those that are read"),
    ],
)
def test_a_variable_that_nobody_reads_is_a_warning_with_the_nearest_name(name: str, near: str, known: set[str]) -> None:
    wrong, _ = unknown({name: "1"}, known)
    assert wrong.level == "warning"
    assert name in wrong.says
    assert wrong.do == near


@pytest.mark.parametrize("app_", SETTINGS)
def test_defaults_are_right(app_: str) -> None:
    assert readable(app_, find_settings(app_)) == []


@pytest.mark.parametrize(
    ("app_", "name", "value"),
    [
        ("the gateway", "SPLITWAY_HEDGE", '{"nobody": 0.9}'),
        ("the gateway", "SPLITWAY_FEATURE_EXTRACTOR", "extractor:8081"),
        ("a stage", "SPLITWAY_ENGINE", "onnx"),
        ("a stage", "SPLITWAY_THREADS", "-1"),
        ("the gateway", "SPLITWAY_SERVICE_TOKEN", "short"),
        ("a stage", "SPLITWAY_SERVICE_TOKEN", "short"),
        ("the gateway", "SPLITWAY_JWT_ISSUER", "https://id.example"),
    ],
)
def test_a_value_that_keeps_an_app_from_starting_is_a_problem(
    app_: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    (result,) = readable(app_, find_settings(app_))
    assert result.level == "problem"
    assert f"{app_} does not start: {name}" in result.says


def test_doors_that_are_open_and_closed_at_once_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.json"
    monkeypatch.setenv("SPLITWAY_KEYS_FILE", str(file))
    monkeypatch.setenv("SPLITWAY_AUTH", "open-to-everyone")
    kind = find_settings("the gateway")
    assert readable("the gateway", kind) == []  # of a file that cannot be read another check says so
    create(file, "shop", ["infer"], "1d")
    (result,) = readable("the gateway", kind)
    assert result.level == "problem"
    assert result.says.startswith("the gateway does not start: SPLITWAY_AUTH=open-to-everyone, but keys or tokens")


@pytest.mark.parametrize(
    ("name", "value", "then"),
    [
        ("SPLITWAY_MAX_TIMEOUT_MS", "1500", "no call ever gets that much time"),
        ("SPLITWAY_MAX_BODY_BYTES", "1000", "larger pictures are refused because of their body"),
    ],
)
def test_settings_that_do_not_agree_are_a_warning(
    name: str, value: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    found = readable("the gateway", find_settings("the gateway"))
    assert {result.level for result in found} == {"warning"}
    assert any(f"{name}={value}: {then}" in result.says for result in found)


def test_a_secret_may_stand_in_a_file(known: set[str]) -> None:
    named = {f"SPLITWAY_{name}_FILE" for name in ("API_KEY", "SERVICE_TOKEN", "ADMIN_KEY")}
    assert named <= known
    assert "SPLITWAY_THREADS_FILE" not in known


@pytest.mark.parametrize("app_", SETTINGS)
@pytest.mark.parametrize("name", ["SPLITWAY_SERVICE_TOKEN", "SPLITWAY_ADMIN_KEY"])
def test_what_is_said_of_a_secret_is_not_the_secret(
    app_: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWAY_THREADS", "many")
    monkeypatch.setenv("SPLITWAY_MAX_BODY_BYTES", "many")
    monkeypatch.setenv(name, "hush-hush-hush-hush")
    said = str(readable(app_, find_settings(app_)))
    (tmp_path / "secret").write_text("hush-hush\nhush-hush")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    assert "hush" not in said + str(readable(app_, find_settings(app_)))


def test_an_app_that_is_not_installed_is_not_judged() -> None:
    (result,) = readable("the gateway", None)
    assert result.level == "ok"
    assert "are not installed" in result.says


@pytest.mark.parametrize(("asked", "level"), [("8", "warning"), ("2", None), ("many", None), ("", None)])
def test_more_threads_than_cores_are_a_warning(asked: str, level: str | None) -> None:
    found = threads({"SPLITWAY_THREADS": asked} if asked else {}, available=2)
    assert (None if found is None else found.level) == level


@pytest.mark.parametrize(
    ("environment", "package", "level"),
    [
        ({}, None, "ok"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "1.38", "ok"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, None, "warning"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None, "warning"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, None, "ok"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, None, "ok"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "1.38", "problem"),
    ],
    ids=["unasked", "exported", "missing", "by-default-endpoint", "disabled", "none", "zipkin"],
)
def test_traces_that_are_asked_for_need_their_extra(
    environment: dict[str, str], package: str | None, level: str
) -> None:
    def installed(name: str) -> str:
        if package is None:
            raise PackageNotFoundError(name)
        return package

    assert traces(environment, installed).level == level


def test_a_gateway_of_which_only_the_settings_are_installed_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the image of a stage."""
    monkeypatch.setitem(sys.modules, "splitway.gateway.wiring", None)
    (result,) = settings({}, [])
    assert (result.level, "the gateway's dependencies are not installed" in result.says) == ("ok", True)
