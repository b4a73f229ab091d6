"""Where train-head finds the stages that lead to the features; two runs for one name get two versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.cli.heads.extract import Hop
from splitway.cli.heads.train_head import HeadJob, check_keeps_default_head, claimed, find_hops
from splitway.errors import BundleError, SetupError
from splitway.local.places import Place
from splitway.local.run_file import write_run_file

URL = "http://127.0.0.1:8081"


def _job(extractor: str | None = None, *bodies: str) -> HeadJob:
    return HeadJob(Path("images"), "digits", Path("models"), extractor=extractor, bodies=bodies)


def test_a_pipeline_that_runs_here_is_followed_up_to_its_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".splitway").mkdir()
    stages = ("gateway", "feature_extractor", "body_1", "body_2", "classifier")
    write_run_file(Path(".splitway/run.json"), [Place(stage, f"http://{stage}", 1) for stage in (*stages, "body_2")])
    monkeypatch.setattr(Place, "doubt", None)
    assert [hop.model for hop in find_hops(_job())] == ["feature_extractor", "body_1", "body_2"]


@pytest.mark.parametrize("of_file", [True, False])
def test_a_pipeline_that_is_not_believed_is_sent_no_picture(
    of_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".splitway").mkdir()
    write_run_file(Path(".splitway/run.json"), [Place(stage, URL, 1) for stage in ("gateway", "feature_extractor")])
    monkeypatch.setattr(Place, "doubt", None if of_file else "process 1 is another user's")
    Path(".splitway").chmod(0o777 if of_file else 0o700)
    with pytest.raises(SetupError, match=r"is not asked, for .*name --extractor"):
        find_hops(_job())


def test_named_addresses_come_in_the_order_in_which_they_are_named() -> None:
    hops = find_hops(_job(URL, "body_2=http://b", "body_1=http://a"))
    assert hops == [Hop("feature_extractor", URL), Hop("body_2", "http://b"), Hop("body_1", "http://a")]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (_job("127.0.0.1:8081"), "--extractor takes an address"),
        (_job(URL, "body_1"), "--body takes NAME=ADDRESS"),
    ],
    ids=["no address", "no body"],
)
def test_what_is_no_address_is_refused(job: HeadJob, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        find_hops(job)


def test_two_at_once_get_two_versions(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "pets"
    with claimed(folder, None) as one, claimed(folder, None) as other:
        assert (one.name, other.name) == ("1", "2")
        with pytest.raises(BundleError, match="being made by another run"), claimed(folder, "2"):
            pass
    assert not folder.exists()


def test_the_next_is_after_the_highest_and_a_lock_left_behind_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "pets" / "3").mkdir(parents=True)
    (tmp_path / "pets" / ".4.lock").touch()
    with claimed(tmp_path / "pets", None) as target:
        assert target.name == "4"
    with claimed(tmp_path / "pets", None) as target:
        target.mkdir()
    assert [path.name for path in sorted((tmp_path / "pets").iterdir())] == ["3", "4"]
    with pytest.raises(BundleError, match="there already"), claimed(tmp_path / "pets", "3"):
        pass


def test_the_default_head_is_not_replaced_by_accident(tmp_path: Path) -> None:
    check_keeps_default_head(tmp_path / "classifier")
    for name in ("classifier", "flowers"):
        (tmp_path / name / "1").mkdir(parents=True)
    check_keeps_default_head(tmp_path / "flowers")
    with pytest.raises(SetupError, match=r"classifier/1 is the default head.*--name, or add --force"):
        check_keeps_default_head(tmp_path / "classifier")
