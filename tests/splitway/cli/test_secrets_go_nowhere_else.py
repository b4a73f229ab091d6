"""Key and token go to what `splitway up` started here, and not to what somebody else's run file names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitway.cli.doctor.doctor import Facts
from splitway.cli.watch.top import top
from splitway.local.places import RUN_FILE, Place
from splitway.local.run_file import make_run_folder, write_run_file
from splitway.local.runs import asked_gateway
from tests.splitway.cli.fake_gateway import Answer, Asked, fake_gateway, key_asked_for
from tests.splitway.cli.pipelines import pipeline

KEY, TOKEN = "the-key", "token-of-all-the-services"
SECRETS = {"authorization", "x-service-token"}


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Asked]]:
    """What the gateway and the stage that a run file in the current folder names are asked."""
    asked: list[Asked] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place, "is_alive", True)
    monkeypatch.setenv("SPLITWAY_API_KEY", KEY)
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", TOKEN)
    make_run_folder(RUN_FILE.parent)
    answer = key_asked_for(KEY, Answer(content=pipeline()))
    with fake_gateway(of=answer, seen=asked) as gateway, fake_gateway(seen=asked) as stage:
        write_run_file(RUN_FILE, [Place("gateway", gateway, os.getpid()), Place("classifier", stage, os.getpid())])
        yield asked


def _sent(asked: list[Asked]) -> set[str]:
    return {name.lower() for each in asked for name in each.headers} & SECRETS


def test_top_shows_the_key_to_its_own_pipeline(seen: list[Asked]) -> None:
    assert top(asked_gateway, 1.0, once=True, as_json=True) == 0
    assert _sent(seen) == {"authorization"}


def test_top_shows_another_one_nothing_and_says_so(seen: list[Asked], capsys: pytest.CaptureFixture[str]) -> None:
    RUN_FILE.parent.chmod(0o777)
    assert top(asked_gateway, 1.0, once=True, as_json=True) == 1
    said = capsys.readouterr()
    assert "SPLITWAY_API_KEY is not sent to http://127.0.0.1:" in said.err
    assert ".splitway can be written by others" in said.err
    assert "is not sent to" in said.out
    assert seen
    assert _sent(seen) == set()


def test_a_gateway_that_is_named_is_shown_the_key_all_the_same(seen: list[Asked]) -> None:
    RUN_FILE.parent.chmod(0o777)
    url = asked_gateway(None).url
    assert top(lambda: asked_gateway(url), 1.0, once=True, as_json=True) == 0
    assert _sent(seen) == {"authorization"}


def test_doctor_shows_key_and_token_to_its_own_pipeline(seen: list[Asked]) -> None:
    assert Facts(None, Path("models")).heard.look.is_ready
    assert _sent(seen) == SECRETS


def test_doctor_shows_another_one_neither(seen: list[Asked]) -> None:
    RUN_FILE.parent.chmod(0o777)
    assert Facts(None, Path("models")).heard.asks_for_key
    assert seen
    assert _sent(seen) == set()


def test_a_process_that_is_not_what_the_file_names_is_sent_neither(
    seen: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splitway.local.places.users_of", lambda _: {4711})
    assert Facts(None, Path("models")).heard.asks_for_key
    assert top(asked_gateway, 1.0, once=True, as_json=True) == 1
    assert _sent(seen) == set()
