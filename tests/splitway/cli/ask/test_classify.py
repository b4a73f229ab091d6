"""What `splitway classify` makes of a gateway's answers for several heads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitway.cli.ask.classify import PictureResult, classify_files, print_table
from splitway.errors import SetupError
from splitway.local.places import RUN_FILE, Place
from splitway.local.run_file import make_run_folder, write_run_file
from testkit.support import one_line, picture, splitway
from tests.splitway.cli.fake_gateway import Answer, Asked, fake_gateway, key_asked_for

GOOD = {"status": 200, "predictions": [{"label": "cat", "index": 1, "confidence": 0.9}], "version": "1"}
BAD = {"status": 503, "error": {"detail": "nobody serves digits"}}


def _result(**heads: object) -> PictureResult:
    return PictureResult.of(Path("cat.jpg"), {"heads": heads, "timings_ms": {"total": 1.0}})


def test_a_head_without_an_answer_fails_its_file() -> None:
    assert _result(classifier=GOOD, digits=BAD).failed
    assert not _result(classifier=GOOD).failed
    assert PictureResult(Path("cat.jpg"), error="cannot be read").failed


def test_there_is_a_row_for_each_head_and_its_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([_result(classifier=GOOD, other=GOOD, digits=BAD)])
    out, err = capsys.readouterr()
    rows = [line.split()[:3] for line in out.splitlines()]
    assert ["cat.jpg", "classifier", "cat"] in rows
    assert ["cat.jpg", "other", "cat"] in rows
    assert "cat.jpg: digits: nobody serves digits" in err


def test_a_class_without_a_label_has_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    classes = [{"label": "", "index": index, "confidence": share} for index, share in ((0, 0.8), (2, 0.1))]
    print_table([_result(shapes={**GOOD, "predictions": classes})])
    assert "class 0  0.800       class 2 0.10" in capsys.readouterr().out


def test_a_release_is_asked_for_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(picture())
    seen: list[Asked] = []
    with fake_gateway(seen=seen) as url:
        assert splitway("classify", tmp_path, "--url", url, "--release", "v2").returncode == 0
        assert "is not a valid name for a release" in one_line(
            splitway("classify", tmp_path / "cat.jpg", "--url", url, "--release", "v\u00e9")
        )
    assert [each.headers["x-splitway-release"] for each in seen] == ["v2"]


def _running_at(url: str) -> None:
    make_run_folder(RUN_FILE.parent)
    write_run_file(RUN_FILE, [Place("gateway", url, os.getpid())])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a picture, from which a pipeline runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Place, "is_alive", True)
    monkeypatch.setenv("SPLITWAY_API_KEY", "the-key")
    (tmp_path / "cat.jpg").write_bytes(b"a picture")
    return tmp_path


def test_without_an_address_the_pipeline_of_this_folder_is_asked(here: Path) -> None:
    seen: list[Asked] = []
    with fake_gateway(seen=seen) as url:
        _running_at(url)
        classify_files([here / "cat.jpg"], None, top_k=1)
    assert [each.headers.get("authorization") for each in seen] == ["Bearer the-key"]


def test_a_run_file_that_others_can_write_is_shown_no_key(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Asked] = []
    with fake_gateway(of=key_asked_for("the-key", Answer()), seen=seen) as url:
        _running_at(url)
        RUN_FILE.parent.chmod(0o777)
        with pytest.raises(SetupError, match="SPLITWAY_API_KEY is not sent to"):
            classify_files([here / "cat.jpg"], None, top_k=1)
    assert [each.headers.get("authorization") for each in seen] == [None]
    assert "can be written by others" in capsys.readouterr().err
