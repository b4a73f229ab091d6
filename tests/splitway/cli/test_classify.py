"""What `splitway classify` makes of a gateway's answers for several heads."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.cli.classify import Result, print_table

GOOD = {"status": 200, "predictions": [{"label": "cat", "index": 1, "confidence": 0.9}], "version": "1"}
BAD = {"status": 503, "error": {"detail": "nobody serves digits"}}


def _result(**heads: object) -> Result:
    return Result(Path("cat.jpg"), {"heads": heads, "timings_ms": {"total": 1.0}})


def test_a_head_without_an_answer_fails_its_file() -> None:
    assert _result(classifier=GOOD, digits=BAD).failed
    assert not _result(classifier=GOOD).failed
    assert Result(Path("cat.jpg"), error="cannot be read").failed


def test_there_is_a_row_for_each_head_and_its_error_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([_result(classifier=GOOD, other=GOOD, digits=BAD)])
    out, err = capsys.readouterr()
    rows = [line.split()[:3] for line in out.splitlines()]
    assert ["cat.jpg", "classifier", "cat"] in rows
    assert ["cat.jpg", "other", "cat"] in rows
    assert "cat.jpg: digits: nobody serves digits" in err
