"""When there is a break-even and when there is none, and what is said then."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from splitway.bundle import Bundle, read_manifest, write_manifest
from splitway.cli.bench.anatomy import Anatomy, BreakEven, Reading
from splitway.cli.bench.explain import MOST_REQUESTS, Explanation, explain, print_table
from splitway.cli.bench.load import BenchTarget
from splitway.errors import SetupError
from splitway.local.runs import LocalGateway
from tests.splitway.cli.fake_gateway import CLASSES, MODEL, TIMINGS, Answer, Asked, fake_gateway

ANATOMY = Anatomy.of([Reading.of(5.0, TIMINGS)] * 4)


@pytest.fixture
def cat_file(samples: Path) -> Path:
    return samples / "cat.jpg"


def test_without_the_bundles_there_is_the_anatomy_alone(cat_file: Path) -> None:
    with fake_gateway(lambda _: Answer()) as url:
        found = explain(BenchTarget([cat_file], LocalGateway(url)), seconds=30)
    assert found.anatomy.requests == MOST_REQUESTS
    assert found.anatomy.served.mean_ms == pytest.approx(4.0)
    assert found.break_even is None
    assert "add --models" in str(found.why_not)


def test_with_the_bundles_of_a_running_gateway_there_is_both(models: Path, cat_file: Path, head_bundle: Bundle) -> None:
    served = {**MODEL, "feature_space": head_bundle.manifest.feature_space}
    with fake_gateway(lambda _: Answer(content=CLASSES | {"model": served})) as url:
        found = explain(BenchTarget([cat_file], LocalGateway(url), models), seconds=0.001)
    assert found.why_not is None
    assert found.break_even is not None
    assert (found.break_even.served, found.break_even.extractor, found.break_even.head) == pytest.approx((4, 2, 1.7))
    assert found.break_even.in_process > 0
    assert found.anatomy.requests >= 20, "a break-even needs two rounds, however short the time"


def test_a_current_release_is_compared_with_its_own_versions_and_no_canary_answers(
    models: Path, cat_file: Path, head_bundle: Bundle, tmp_path: Path
) -> None:
    """The folder has a newer head, which the release does not name: the break-even is of what is served."""
    own = Path(shutil.copytree(models, tmp_path / "models"))
    newer = Path(shutil.copytree(own / "classifier" / "1", own / "classifier" / "2"))
    write_manifest(newer, read_manifest(newer).model_copy(update={"version": "2"}))
    served = {**MODEL, "feature_space": head_bundle.manifest.feature_space, "release": "july"}
    asked: list[Asked] = []
    with fake_gateway(lambda _: Answer(content=CLASSES | {"model": served}), seen=asked) as url:
        found = explain(BenchTarget([cat_file], LocalGateway(url), own), seconds=0.001)
    assert found.why_not is None
    assert found.break_even is not None
    assert {each.headers.get("x-splitway-canary") for each in asked[1:]} == {"never"}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({**MODEL, "classifier": "7"}, "the gateway serves feature_extractor 1, classifier 7, .*7"),
        ({}, "its answers do not say of which bundles they are"),
    ],
    ids=["not here", "not said"],
)
def test_bundles_that_are_not_here_are_not_compared(
    models: Path, cat_file: Path, model: dict[str, str], says: str
) -> None:
    with fake_gateway(lambda _: Answer(content=CLASSES | {"model": model})) as url:
        found = explain(BenchTarget([cat_file], LocalGateway(url), models), seconds=0.001)
    assert found.break_even is None
    assert re.search(says, str(found.why_not))


def test_other_bundles_than_are_served_are_not_compared(models: Path, cat_file: Path) -> None:
    with fake_gateway(lambda _: Answer()) as url:
        found = explain(BenchTarget([cat_file], LocalGateway(url), models), seconds=0.001)
    assert found.break_even is None
    assert found.anatomy.requests > 0
    assert re.search("the gateway serves .*fs:0123456789abcdef; the bundles here are ", str(found.why_not))


@pytest.mark.parametrize("status", ["splitway; hit", "splitway; fwd=uri-miss; collapsed"])
def test_answers_from_the_cache_are_no_ground_for_a_break_even(
    models: Path, cat_file: Path, head_bundle: Bundle, status: str
) -> None:
    served = {**MODEL, "feature_space": head_bundle.manifest.feature_space}
    answer = Answer(content=CLASSES | {"model": served}, headers={"cache-status": status})
    with fake_gateway(lambda _: answer) as url:
        found = explain(BenchTarget([cat_file], LocalGateway(url), models), seconds=0.001)
    assert found.break_even is None
    assert "20 of 20 answers came from the feature cache" in str(found.why_not)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(503, {"code": "overloaded", "detail": "too much"}), "refused with 503 overloaded"),
        (Answer(content={"label": "cat"}), "not from a gateway"),
        (Answer(content=[]), "not from a gateway"),
        (Answer(content={"model": MODEL, "timings_ms": {}}), "do not report their timings"),
    ],
    ids=["refused", "no timings", "a list", "empty timings"],
)
def test_an_answer_that_cannot_be_explained_ends_it(cat_file: Path, answer: Answer, says: str) -> None:
    with fake_gateway(lambda n: answer if n else Answer()) as url, pytest.raises(SetupError, match=says):
        explain(BenchTarget([cat_file], LocalGateway(url)), seconds=30)


def _rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_rows_of_an_anatomy_have_times_and_shares(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(Explanation(ANATOMY, why_not="There is none."))
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
    print_table(Explanation(ANATOMY, found))
    assert capsys.readouterr().out.splitlines()[-2:] == found.sentences()
