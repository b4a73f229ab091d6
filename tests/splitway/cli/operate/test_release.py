"""Releases by command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from splitway.cli.main import app
from splitway.cli.operate.release import ReleaseBook, parse_heads
from splitway.errors import BundleError, SetupError
from splitway.releases import Releases
from tests.bundles import SPACES, make_bundle

AT = "2026-11-24T18:00:00+00:00"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two versions of everything, of two feature spaces, and a second head for the newer one."""
    for version, space in ((1, "a"), (2, "b")):
        make_bundle(tmp_path, "feature_extractor", version, "extractor", space)
        make_bundle(tmp_path, "classifier", version, "head", space)
    make_bundle(tmp_path, "digits", 1, "head", "b")
    return tmp_path


@pytest.fixture
def book(models: Path) -> ReleaseBook:
    """Three releases: `summer` of the old versions, `autumn` and `winter` of the new ones."""
    book = ReleaseBook(models, now=lambda: datetime.fromisoformat(AT).astimezone(UTC))
    book.create("summer", "1", {"classifier": "1"})
    book.create("autumn", None, {})
    book.create("winter", "2", {"digits": "1"})
    return book


def _states(releases: Releases) -> tuple[str | None, str | None, str | None, str | None]:
    canary, shadow = (None if trial is None else trial.release for trial in (releases.canary, releases.shadow))
    return releases.current, releases.previous, canary, shadow


def test_a_release_takes_the_newest_of_all_that_fits_unless_told_otherwise(book: ReleaseBook) -> None:
    made = book.read().releases
    assert made["autumn"].extractor == "2"
    assert made["autumn"].heads == {"classifier": "2", "digits": "1"}
    assert made["autumn"].feature_space == SPACES["b"]
    assert made["summer"].heads == {"classifier": "1"}
    assert made["winter"].heads == {"digits": "1"}


def test_bodies_are_part_of_a_release(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "body_1", 3, "body", "a", "b")
    make_bundle(tmp_path, "classifier", 1, "head", "b")
    assert ReleaseBook(tmp_path).create("one", None, {}).releases["one"].bodies == {"body_1": "3"}


def test_a_head_of_another_feature_space_is_refused(book: ReleaseBook) -> None:
    with pytest.raises(BundleError, match="of one feature space"):
        book.create("mixed", "2", {"classifier": "1"})
    assert "mixed" not in book.read().releases


def test_a_damaged_bundle_is_refused(book: ReleaseBook, models: Path) -> None:
    engine = models / "classifier" / "2" / "model.tflite"
    engine.write_bytes(engine.read_bytes()[::-1])
    with pytest.raises(BundleError, match="corrupted"):
        book.create("spring", None, {})


@pytest.mark.parametrize(
    ("extractor", "heads"), [("9", {}), (None, {"classifier": "9"}), (None, {"cats": "1"})], ids=str
)
def test_a_bundle_that_is_not_there_is_named(book: ReleaseBook, extractor: str | None, heads: dict[str, str]) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        book.create("spring", extractor, heads)


def test_a_release_s_life(book: ReleaseBook) -> None:
    assert _states(book.promote("summer")) == ("summer", None, None, None)
    assert _states(book.try_out("canary", "autumn", 10)) == ("summer", None, "autumn", None)
    assert _states(book.try_out("shadow", "winter", 100)) == ("summer", None, "autumn", "winter")
    assert _states(book.promote(None)) == ("autumn", "summer", None, "winter")
    assert _states(book.roll_back()) == ("autumn", "summer", None, None)
    assert _states(book.roll_back("wrong labels")) == ("summer", None, None, None)
    history = book.read().history
    assert [event.event for event in history[3:]] == ["promote", "canary", "shadow", "promote", "rollback", "rollback"]
    assert [event.release for event in history[-2:]] == ["winter", "autumn"]
    assert history[-1].reason == "wrong labels"
    assert all(event.at == AT for event in history)


def test_what_makes_no_sense_is_refused_and_changes_nothing(book: ReleaseBook) -> None:
    with pytest.raises(SetupError, match="promote one first"):
        book.try_out("canary", "autumn", 10)
    with pytest.raises(SetupError, match="name the release to promote"):
        book.promote(None)
    with pytest.raises(SetupError, match="nothing to roll back"):
        book.roll_back()
    book.promote("summer")
    before = book.path.read_bytes()
    with pytest.raises(SetupError, match="is current already"):
        book.promote("summer")
    with pytest.raises(SetupError, match="it already serves all requests"):
        book.try_out("canary", "summer", 10)
    with pytest.raises(SetupError, match="did you mean 'autumn'"):
        book.try_out("shadow", "autum", 10)
    with pytest.raises(SetupError, match="choose another name"):
        book.create("autumn", None, {})
    with pytest.raises(SetupError, match="not a valid name for a release"):
        book.create("../autumn", None, {})
    assert book.path.read_bytes() == before


@pytest.mark.parametrize("option", ["classifier", "classifier=", "classifier=0", "=1", "classifier=x"])
def test_head_takes_a_name_and_a_version(option: str) -> None:
    with pytest.raises(SetupError, match="NAME=VERSION"):
        parse_heads([option])


def _run(models: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["release", *arguments, "--models", str(models)])
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_say_what_they_did_and_what_comes_next(models: Path) -> None:
    code, out, err = _run(models, "create", "summer", "--extractor", "1", "--head", "classifier=1")
    assert (code, "classifier 1" in out) == (0, True)
    assert f"splitway release promote summer --models {models}\n" in err
    assert _run(models, "promote", "summer")[1] == "summer is current; before it: none\n"
    assert _run(models, "create", "autumn")[2] == ""
    assert _run(models, "canary", "autumn", "--percent", "10")[1] == "autumn answers 10 % of the requests\n"
    assert "canary 10 %" in _run(models, "list")[1]
    assert json.loads(_run(models, "list", "--json")[1])["canary"]["percent"] == 10
    assert _run(models, "promote")[1] == "autumn is current; before it: summer\n"
    assert _run(models, "rollback")[1] == "autumn is withdrawn; current is summer\n"


def test_a_command_that_fails_is_one_line(models: Path) -> None:
    code, _, err = _run(models, "promote", "none")
    assert (code, err.count("\n")) == (1, 1)
    assert f"splitway release create NAME --models {models}\n" in err
    result = CliRunner().invoke(app, ["release", "list", "--file", str(models / "other file.json")])
    assert f"make one with: splitway release create NAME --file '{models}/other file.json'\n" in result.stderr


@pytest.mark.parametrize("command", ["create", "list", "canary", "shadow", "promote", "rollback"])
def test_help_gives_an_example(command: str) -> None:
    assert "splitway release" in CliRunner().invoke(app, ["release", command, "--help"]).stdout


def test_heads_that_a_release_has_no_more_are_told_before_it_is_promoted(book: ReleaseBook) -> None:
    def promote(name: str) -> str:
        ran = CliRunner().invoke(app, ["release", "promote", name, "--models", str(book.models)])
        assert ran.exit_code == 0, ran.output
        return ran.stderr

    assert promote("autumn") == ""
    assert "winter has no head classifier, which the current release autumn has" in promote("winter")


def test_heads_of_another_backbone_are_told_with_the_command_that_trains_them(models: Path) -> None:
    make_bundle(models, "colours", 1, "head", "a")
    _, _, err = _run(models, "create", "autumn")
    assert f"autumn is without head colours: colours 1 takes the features {SPACES['a']}" in err
    assert f"splitway train-head --in-process --images PICTURES --name colours --models {models}\n" in err
    _, _, older = _run(models, "create", "summer", "--extractor", "1")
    assert "summer is without head digits: digits 1 takes" in older
    assert "train-head" not in older  # which trains on the newest extractor
    assert "is without" not in _run(models, "create", "winter", "--head", "digits=1")[2]
