"""The rule which stage can follow which, and that it stands in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from splitway.names import Role
from splitway.plan import can_follow, can_take, ends

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class _Stage:
    takes: str | None
    gives: str | None


EXTRACTOR, BODY, HEAD = _Stage(None, "a"), _Stage("a", "b"), _Stage("b", None)


def test_a_stage_follows_one_that_gives_what_it_takes() -> None:
    assert can_follow(EXTRACTOR, BODY)
    assert can_follow(BODY, HEAD)
    assert not can_follow(EXTRACTOR, HEAD)


def test_nothing_follows_an_answer() -> None:
    assert not can_follow(HEAD, EXTRACTOR)


def test_a_stage_can_be_called_with_one_of_several_spaces() -> None:
    assert can_take(HEAD, "a", "b")
    assert can_take(EXTRACTOR, None)
    assert not can_take(HEAD, "a", None)
    assert not can_take(HEAD)


@pytest.mark.parametrize(
    ("role", "known"), [("extractor", (None, "a")), ("body", ("a", "b")), ("head", ("a", None))], ids=str
)
def test_a_role_says_which_end_a_feature_space_is(role: Role, known: tuple[str | None, str | None]) -> None:
    assert ends(role, "a", "b" if role == "body" else None) == known


def test_nothing_else_compares_what_stages_take_and_give() -> None:
    files = [path for top in ("gateway", "services", "splitway") for path in (ROOT / top).rglob("*.py")]
    compares = re.compile(r"\.takes (==|!=|in|not in) |(==|!=) [\w.]+\.takes\b")
    assert [path.name for path in files if compares.search(path.read_text())] == ["plan.py"]
