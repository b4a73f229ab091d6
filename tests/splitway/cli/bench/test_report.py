"""What people read."""

from __future__ import annotations

from collections import Counter

import pytest

from splitway.cli.bench.anatomy import Anatomy, Reading
from splitway.cli.bench.break_even import BreakEven
from splitway.cli.bench.explain import Explanation
from splitway.cli.bench.load import LoadResult
from splitway.cli.bench.report import print_explanation, print_load
from tests.splitway.cli.fake_gateway import TIMINGS

ANATOMY = Anatomy.of([Reading.of(5.0, TIMINGS)] * 4)


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_load_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_load(LoadResult(4, 2.0, [1.0, 2.0, 3.0], Counter(overloaded=2)))
    head, row = _rows(capsys.readouterr().out)
    assert head[:4] == ["clients", "seconds", "requests", "requests/s"]
    assert row == ["4", "2", "3", "1.5", "2.0", "3.0", "2", "overloaded"]


def test_the_rows_of_an_anatomy_have_times_and_shares(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(Explanation(ANATOMY, why_not="There is none."))
    text = capsys.readouterr().out
    rows = {row[0]: row[1:6] for row in _rows(text) if len(row) > 5}
    assert rows["feature_extractor"] == ["2.00", "2.00", "2.00", "40.0", "%"]
    assert rows["gateway"] == ["0.30", "0.30", "0.30", "6.0", "%"]
    assert rows["client"] == ["1.00", "1.00", "1.00", "20.0", "%"]
    (whole,) = (row for row in _rows(text) if row[:3] == ["the", "client's", "wait"])
    assert whole[3:8] == ["5.00", "5.00", "5.00", "100.0", "%"]
    assert text.endswith("There is none.\n")


def test_the_break_even_stands_below(capsys: pytest.CaptureFixture[str]) -> None:
    found = BreakEven(4, 4.0, 3.0, 2.0, 1.7, 0.1)
    print_explanation(Explanation(ANATOMY, found))
    assert capsys.readouterr().out.splitlines()[-2:] == found.sentences()
