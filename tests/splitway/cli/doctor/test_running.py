"""The pipeline that runs, or does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from splitway.cli.doctor.running import Heard, Running, gateway, listen, replicas, run_file, versions
from splitway.cli.status import look_of
from splitway.local.places import Place
from splitway.local.run_file import write_run_file
from splitway.security.identities.certificates import Certificates
from splitway.security.identities.tls import Identity
from testkit.support import free_port
from tests.splitway.cli.fake_gateway import Answer, Asked, fake_gateway, key_asked_for
from tests.splitway.cli.pipelines import AT, UNREACHABLE, URL, look, pipeline, replica, stage

HERE = Heard("gateway", URL, answers=True, version="0.1.0")
OLD = Heard("classifier", "http://10.0.0.9:8091", answers=True, version="0.0.9")
BEYOND = Heard("feature_extractor", "http://10.0.0.8:8081", answers=False)
NOBODY = look_of(URL, httpx.ConnectError(""), AT, 0.0)
SERVING = Running(look(pipeline()), is_expected=True, heard=[HERE])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A run file in a folder of the user's own."""
    folder = tmp_path / ".splitway"
    folder.mkdir(mode=0o700)
    return folder / "run.json"


def test_a_run_file_whose_processes_live_is_right_and_so_is_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "is_alive", True)
    monkeypatch.setattr(Place, "doubt", None)
    assert run_file(file).level == "ok"
    write_run_file(file, [Place("gateway", URL, os.getpid())])
    assert run_file(file).level == "ok"


@pytest.mark.parametrize("of_file", [True, False])
def test_a_run_file_that_is_not_believed_is_a_warning(
    of_file: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "is_alive", True)
    monkeypatch.setattr(Place, "doubt", None if of_file else "it is another's")
    write_run_file(file, [Place("gateway", URL, 1)])
    file.chmod(0o666 if of_file else 0o644)
    result = run_file(file)
    assert (result.level, "neither key nor token is sent" in result.says) == ("warning", True)
    assert ("can be written by others" if of_file else "it is another's") in result.says


def test_a_run_file_that_a_dead_pipeline_left_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "is_alive", False)
    write_run_file(file, [Place("gateway", URL, 1)])
    result = run_file(file)
    assert result.level == "warning"
    assert result.do.startswith(f"rm {file}")


def test_a_pipeline_of_which_a_part_has_ended_is_a_problem(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "is_alive", property(lambda place: place.pid == 1))
    write_run_file(file, [Place("gateway", URL, 1), Place("classifier", "http://127.0.0.1:8091", 2)])
    result = run_file(file)
    assert result.level == "problem"
    assert "classifier 127.0.0.1:8091 (process 2)" in result.says


def test_a_run_file_that_cannot_be_read_is_a_problem(file: Path) -> None:
    file.write_text("{")
    result = run_file(file)
    assert (result.level, result.do) == ("problem", f"rm {file}")


def test_a_gateway_that_is_ready_is_right() -> None:
    result = gateway(SERVING)
    assert result.level == "ok"
    assert result.says == f"{URL} is ready, up for 2:13:20"


def test_a_gateway_that_is_not_ready_is_a_problem_with_its_reason() -> None:
    result = gateway(Running(look(pipeline(ready=False, reason="warming up")), is_expected=False, heard=[]))
    assert result.level == "problem"
    assert "warming up" in result.says


def test_a_gateway_that_does_not_answer_is_a_problem_only_where_one_is_expected() -> None:
    levels = [gateway(Running(NOBODY, is_expected=expected, heard=[])).level for expected in (True, False)]
    assert levels == ["problem", "ok"]


def test_replicas_that_serve_are_counted_and_out_of_reach_from_here_is_no_fault() -> None:
    (result,) = replicas(Running(look(pipeline()), is_expected=True, heard=[HERE, BEYOND]))
    assert result.level == "ok"
    assert result.says == "3 replicas ready; 1 of them are not reachable from here"


@pytest.mark.parametrize(("ready", "level"), [(True, "warning"), (False, "problem")])
def test_a_replica_that_is_gone_is_named(ready: bool, level: str) -> None:
    status = look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE), ready=ready))
    gone = Heard("feature_extractor", "http://127.0.0.1:8082", answers=False)
    wrong, right = replicas(Running(status, is_expected=True, heard=[HERE, gone]))
    assert (wrong.level, right.says) == (level, "1 replica ready")
    assert "feature_extractor 127.0.0.1:8082 cannot be reached" in wrong.says


def test_one_version_everywhere_is_right_and_another_is_a_warning() -> None:
    (right,) = versions(SERVING, "0.1.0")
    assert right.level == "ok"
    (wrong,) = versions(Running(look(pipeline()), is_expected=True, heard=[HERE, OLD]), "0.1.0")
    assert wrong.level == "warning"
    assert wrong.says == "this command is Splitway 0.1.0, but classifier 10.0.0.9:8091 is 0.0.9"


def test_where_nobody_answers_nothing_is_said_of_versions() -> None:
    silent = Running(NOBODY, is_expected=False, heard=[BEYOND])
    assert replicas(silent) == versions(silent, "0.1.0") == []


@pytest.fixture
def services() -> Iterator[dict[str, str]]:
    """A gateway, a replica that it names, and one that only the run file does."""
    with ExitStack() as stack:
        said = {"name": "splitway", "version": "0.1.0"}
        named = stack.enter_context(fake_gateway(lambda _: Answer(content=said)))
        unnamed = stack.enter_context(fake_gateway(lambda _: Answer(content=said)))
        answer = pipeline(stage("classifier", replica(int(named.rsplit(":", 1)[1])))) | said
        told = stack.enter_context(fake_gateway(lambda _: Answer(content=answer)))
        yield {"gateway": told, "a": named, "b": unnamed}


def test_everybody_whom_gateway_and_run_file_name_is_asked(services: dict[str, str]) -> None:
    places = [Place("gateway", services["gateway"], 1), Place("classifier", services["b"], 2)]
    running = listen(services["gateway"], places, is_expected=True)
    assert running.look.is_ready
    assert [each.url for each in running.heard] == [services[name] for name in ("gateway", "a", "b")]
    assert [each.version for each in running.heard] == ["0.1.0"] * 3


def test_another_pipelines_run_file_does_not_count(services: dict[str, str]) -> None:
    running = listen(services["gateway"], [Place("classifier", services["b"], 2)], is_expected=True)
    assert services["b"] not in [each.url for each in running.heard]


def test_where_nobody_listens_that_is_heard() -> None:
    running = listen(f"http://127.0.0.1:{free_port()}", [], is_expected=False)
    assert running.look.status is None
    assert [each.answers for each in running.heard] == [False]


KEY = {"authorization": "Bearer the-key"}


def test_the_key_goes_to_a_gateway_that_asks_for_one_and_to_nobody_else() -> None:
    asked_gateway: list[Asked] = []
    asked_stage: list[Asked] = []
    said = {"name": "splitway", "version": "0.1.0"}
    with fake_gateway(lambda _: Answer(content=said), seen=asked_stage) as named:
        answer = Answer(content=pipeline(stage("classifier", replica(int(named.rsplit(":", 1)[1])))) | said)
        with fake_gateway(of=key_asked_for("the-key", answer), seen=asked_gateway) as url:
            running = listen(url, [], is_expected=True, key=KEY)
    assert running.asks_for_key
    assert [each.version for each in running.heard] == ["0.1.0"] * 2
    shown = [asked.headers.get("authorization") for asked in asked_gateway]
    assert shown == [None, "Bearer the-key", "Bearer the-key"]
    assert [asked.headers.get("authorization") for asked in asked_stage] == [None]


def test_a_gateway_that_asks_for_none_is_shown_none() -> None:
    seen: list[Asked] = []
    with fake_gateway(lambda _: Answer(content=pipeline()), seen=seen) as url:
        running = listen(url, [], is_expected=True, key=KEY)
    assert not running.asks_for_key
    assert [asked.headers.get("authorization") for asked in seen] == [None, None]


@pytest.mark.parametrize(
    ("key", "says"), [(None, "requires a key"), ({"authorization": "Bearer x"}, "does not accept")]
)
def test_a_gateway_that_refuses_is_there_and_the_key_is_what_is_missing(key: dict[str, str] | None, says: str) -> None:
    with fake_gateway(of=key_asked_for("the-key", Answer())) as url:
        running = listen(url, [], is_expected=False, key=key)
    result = gateway(running)
    assert result.level == "problem"
    assert f"{url} {says}" in result.says
    assert result.do.startswith("set SPLITWAY_API_KEY to a key with the scope metrics")
    assert running.heard[0].answers


def test_the_token_goes_to_what_runs_from_here_and_not_to_whom_a_gateway_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", "token-of-all-the-services")
    ours: list[Asked] = []
    theirs: list[Asked] = []
    with fake_gateway(seen=ours) as here, fake_gateway(seen=theirs) as there:
        answer = Answer(content=pipeline(stage("classifier", replica(int(there.rsplit(":", 1)[1])))))
        with fake_gateway(lambda _: answer) as url:
            listen(url, [Place("gateway", url, 1), Place("classifier", here, 2)], is_expected=True)
    assert [asked.headers.get("x-service-token") for asked in ours] == ["token-of-all-the-services"]
    assert [asked.headers.get("x-service-token") for asked in theirs] == [None]


def test_a_token_that_cannot_be_sent_keeps_nobody_from_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", "two words")
    with fake_gateway(lambda _: Answer(content=pipeline())) as url:
        assert listen(url, [], is_expected=True).look.is_ready


@contextmanager
def _stage_with_certificate(certs: Path) -> Iterator[str]:
    """The address of a stage that answers its gateway alone."""
    Certificates(certs, lambda: datetime.now(UTC), lambda: None).create(["gateway", "classifier"])
    context = Identity(certs / "classifier", "classifier").server_context()
    with fake_gateway(lambda _: Answer(content={"name": "splitway", "version": "0.1.0"}), tls=context) as url:
        yield url


def _of_a_pipeline_with(stage_url: str) -> Running:
    mine = replica(8091, url=stage_url)
    with fake_gateway(lambda _: Answer(content=pipeline(stage("classifier", mine)))) as url:
        return listen(url, [Place("gateway", url, 1), Place("classifier", stage_url, 2)], is_expected=True)


@pytest.mark.parametrize("by_variable", [False, True])
def test_stages_that_ask_for_a_certificate_are_shown_the_gateways(
    by_variable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    certs = tmp_path / ("elsewhere" if by_variable else ".splitway/certs")
    if by_variable:
        monkeypatch.setenv("SPLITWAY_IDENTITY", str(certs / "gateway"))
    with _stage_with_certificate(certs) as stage_url:
        running = _of_a_pipeline_with(stage_url)
    assert [each.answers for each in running.heard] == [True, True]
    assert replicas(running)[0].says == "1 replica ready"


def test_where_there_is_none_to_show_they_are_said_to_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with _stage_with_certificate(tmp_path / "elsewhere") as stage_url:
        running = _of_a_pipeline_with(stage_url)
    (result,) = replicas(running)
    assert result.level == "ok"
    assert result.says == "1 replica ready; not checked, because the gateway's certificate is missing: 1"
    assert result.do.startswith("set SPLITWAY_IDENTITY to the gateway's folder")
