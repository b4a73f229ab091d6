"""`splitway doctor`: what it finds in a set-up, in which order, and that no check takes it down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from splitway import __version__
from splitway.cli.doctor.doctor import Facts, checks, examine, print_json, print_list
from splitway.cli.doctor.finding import Finding, ok, problem, warning
from splitway.cli.doctor.variables import variables_of
from splitway.cli.main import app
from splitway.cli.operate.keys import create
from splitway.security.signing import make_key_pair
from testkit.support import free_port, one_line, splitway
from tests.bundles import make_bundle
from tests.splitway.cli.fake_gateway import Answer, fake_gateway, key_asked_for
from tests.splitway.cli.pipelines import pipeline


@pytest.fixture
def bench(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with a copy of the default bundles, and no variable set."""
    for stage in ("feature_extractor", "classifier"):
        shutil.copytree(models / stage, tmp_path / "models" / stage)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("SPLITWAY_", "OTEL_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def _found(url: str | None = None) -> list[Finding]:
    return examine(checks(Facts(url, Path("models")), variables_of(get_command(app))))


def _wrong(found: list[Finding]) -> list[tuple[str, str]]:
    return [(result.name, result.level) for result in found if result.level != "ok"]


def test_a_set_up_that_is_right_has_nothing_wrong(bench: Path) -> None:
    found = _found(None)
    assert _wrong(found) == []
    assert {"bundles", "chain", "engine litert", "settings", "gateway"} <= {r.name for r in found}
    assert list(bench.iterdir()) == [bench / "models"], "it left something behind"


def test_every_fault_is_found_and_the_worst_comes_first(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bench / "models" / "classifier" / "1" / "model.tflite"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    make_bundle(bench / "models", "pets", 1, "head", "f")
    (bench / ".splitway").mkdir()
    (bench / ".splitway" / "run.json").write_text('{"gateway": {"url": "http://127.0.0.1:1", "pid": 4194999}}')
    monkeypatch.setenv("SPLITWAY_MODLES", "models")
    found = _found()
    assert _wrong(found) == [
        ("bundles", "problem"),
        ("chain", "problem"),
        ("run file", "warning"),
        ("settings", "warning"),
    ]
    says = {result.name: result.says for result in found if result.level != "ok"}
    assert "models/classifier/1/model.tflite" in says["bundles"]
    assert "models/pets/1 takes fs:ffffffffffffffff" in says["chain"]
    assert "no process that it names runs" in says["run file"]
    assert "SPLITWAY_MODLES" in says["settings"]
    assert all(result.do for result in found if result.level != "ok")
    assert [r.level for r in found] == sorted((r.level for r in found), key=["problem", "warning", "ok"].index)


def test_a_pipeline_that_runs_elsewhere_needs_no_bundles_here(bench: Path) -> None:
    shutil.rmtree(bench / "models")
    with fake_gateway(lambda _: Answer(content=pipeline() | {"name": "splitway", "version": __version__})) as url:
        found = _found(url)
    assert ("bundles", "warning") in _wrong(found)
    assert next(result for result in found if result.name == "gateway").level == "ok"
    assert not any(result.name in ("chain", "releases") for result in found)


def test_without_bundles_and_pipeline_it_says_how_to_begin(bench: Path) -> None:
    shutil.rmtree(bench / "models")
    assert _wrong(_found()) == [("bundles", "problem")]


@pytest.mark.usefixtures("bench")
def test_a_gateway_that_is_named_and_silent_is_a_problem() -> None:
    assert _wrong(_found(f"http://127.0.0.1:{free_port()}")) == [("gateway", "problem")]


@pytest.mark.usefixtures("bench")
def test_a_gateway_that_asks_for_a_key_is_looked_into_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer(content=pipeline() | {"name": "splitway", "version": __version__})
    with fake_gateway(of=key_asked_for("the-key", answer)) as url:
        assert _wrong(_found(url)) == [("gateway", "problem")]
        monkeypatch.setenv("SPLITWAY_API_KEY", "the-key")
        found = _found(url)
        monkeypatch.setenv("SPLITWAY_API_KEY", "the key")
        spoilt = _found(url)
    assert _wrong(found) == []
    assert {"access", "API key", "replicas"} <= {result.name for result in found}
    assert _wrong(spoilt) == [("gateway", "problem"), ("API key", "problem")]
    assert "the-key" not in str(found)


@pytest.mark.usefixtures("bench")
def test_keys_and_certificates_that_are_no_good_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_KEYS_FILE", "none.json")
    monkeypatch.setenv("SPLITWAY_IDENTITY", "nowhere")
    monkeypatch.setenv("SPLITWAY_FEATURE_EXTRACTOR", "https://a:1")
    monkeypatch.setenv("SPLITWAY_CLASSIFIER", "https://b:1")
    assert _wrong(_found()) == [("keys", "problem"), ("identity", "problem")]


def test_set_ups_that_do_not_start_are_problems(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_key_pair(bench / "release.pem")
    create(bench / "keys.json", "shop", ["infer"], "1d")
    monkeypatch.setenv("SPLITWAY_BUNDLE_KEY", "release.pub.pem")
    monkeypatch.setenv("SPLITWAY_AUTH", "open-to-everyone")
    monkeypatch.setenv("SPLITWAY_KEYS_FILE", "keys.json")
    found = _found()
    assert [pair for pair in _wrong(found) if pair[1] == "problem"] == [
        *[("bundles", "problem")] * 2,
        ("settings", "problem"),
    ]
    assert not any(result.name == "engine litert" for result in found), "what nobody trusts was run"
    monkeypatch.setenv("SPLITWAY_BUNDLE_KEY", "keys.json")
    assert ("bundle key", "problem") in _wrong(_found())


def _crashes() -> Finding:
    raise ZeroDivisionError("division\nby zero")


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Something that comes when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_a_check_that_crashes_or_hangs_is_a_problem_and_holds_nobody_up(never: threading.Event) -> None:
    def hangs() -> Finding:
        never.wait()
        return ok("hangs", "never said")

    found = examine({"fine": lambda: ok("fine", "is"), "crash": _crashes, "hang": hangs, "none": lambda: None}, 0.2)
    assert [(result.name, result.level) for result in found] == [
        ("crash", "problem"),
        ("hang", "problem"),
        ("fine", "ok"),
    ]
    assert found[0].says == "this check itself failed: ZeroDivisionError: division by zero"
    assert found[1].says == "this check did not end within 0.2 s"


SOME = [problem("a", "is broken", "mend it"), warning("long name", "may break", "look"), ok("c", "is right")]


def test_the_list_says_level_and_what_to_do_in_signs_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_list(SOME)
    assert capsys.readouterr().out.splitlines() == [
        "✗ a          problem: is broken",
        "             → mend it",
        "! long name  warning: may break",
        "             → look",
        "✓ c          is right",
        "1 problem and 1 warning; 1 right",
    ]


@pytest.mark.parametrize(("found", "is_ok"), [(SOME, False), (SOME[1:], True)])
def test_json_holds_every_result(found: list[Finding], is_ok: bool, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(found)
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is is_ok
    assert content["results"][-1] == {"name": "c", "level": "ok", "says": "is right", "do": ""}


def test_the_command_ends_with_0_on_warnings_and_with_1_on_problems(bench: Path) -> None:
    misspelt = splitway("doctor", "--json", cwd=bench, SPLITWAY_THREDS="2")
    unreadable = splitway("doctor", cwd=bench, SPLITWAY_THREADS="many")
    assert (misspelt.returncode, unreadable.returncode) == (0, 1)
    (result,) = [r for r in json.loads(misspelt.stdout)["results"] if "SPLITWAY_THREDS" in r["says"]]
    assert (result["level"], result["do"]) == ("warning", "did you mean SPLITWAY_THREADS?")
    assert "✗ settings" in unreadable.stdout
    assert misspelt.stderr == unreadable.stderr == ""


def test_it_works_where_the_packages_that_serve_are_missing(bench: Path) -> None:
    """It is what one runs when they are."""
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn', 'prometheus_client', 'tenacity', 'tensorflow'):\n"
        "    sys.modules[name] = None\n"
        "from splitway.cli.main import app\n"
        "app(['doctor'])\n"
    )
    (bench / "without.py").write_text(code)
    result = subprocess.run([sys.executable, "without.py"], cwd=bench, capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stdout + result.stderr
    assert "the gateway's dependencies are not installed" in result.stdout
    assert "✓ bundles" in result.stdout


def test_an_address_that_is_none_is_one_line() -> None:
    assert "--url takes an address such as" in one_line(splitway("doctor", "--url", "local host"))


def test_help_teaches_with_examples() -> None:
    text = splitway("doctor", "--help").stdout
    assert "Examples:\n  splitway doctor\n" in text
    assert "Changes nothing" in text
