"""`splitway bench` against a gateway that answers as told, and against the real pipeline."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

from splitway.cli.bench.load import BenchTarget, LoadResult, bench, print_table
from splitway.errors import InvalidInput, SetupError
from splitway.local.runs import LocalGateway
from testkit.support import one_line, splitway
from tests.splitway.cli.fake_gateway import Answer, fake_gateway

OVERLOADED = Answer(503, {"code": "overloaded", "detail": "too much"})


def test_failures_are_counted_by_code(samples: Path) -> None:
    answers = [Answer(), OVERLOADED, Answer(502, "a proxy's own"), Answer()]
    with fake_gateway(lambda n: answers[n % 4]) as url:
        load = bench(BenchTarget([samples / "cat.jpg"], LocalGateway(url)), clients=2, seconds=0.3)
    assert set(load.failures) == {"overloaded", "http_502"}
    assert load.waits_ms
    assert abs(len(load.waits_ms) - sum(load.failures.values())) <= 4


def test_nothing_but_failures_is_an_error(samples: Path) -> None:
    with (
        fake_gateway(lambda n: OVERLOADED if n else Answer()) as url,
        pytest.raises(SetupError, match=r"no request was answered within 0\.2 s: \d+ overloaded"),
    ):
        bench(BenchTarget([samples / "cat.jpg"], LocalGateway(url)), clients=1, seconds=0.2)


def test_a_picture_that_is_refused_is_named_before_anything_is_measured(samples: Path) -> None:
    refusal = Answer(400, {"code": "invalid_input", "detail": "not a picture"})
    with fake_gateway(lambda _: refusal) as url, pytest.raises(InvalidInput, match=r"cat\.jpg: not a picture"):
        bench(BenchTarget([samples / "cat.jpg"], LocalGateway(url)), clients=1, seconds=10)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a picture to send"),
        (["none.jpg"], "none.jpg: No such file"),
        (["here.jpg", "--url", "local host"], "--url takes an address such as http://"),
        (["here.jpg", "--url", "http://127.0.0.1:1"], "start one with: splitway up"),
        (["here.jpg", "--models", "nowhere"], "there is no folder nowhere: name one with bundles"),
        (["here.jpg", "--explain", "--clients", "2"], "--clients has no effect: --explain follows one client"),
    ],
    ids=lambda value: "_".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_stands_in_the_way_is_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "here.jpg").write_bytes(b"a picture")
    assert says in one_line(splitway("bench", *arguments, cwd=tmp_path))


def test_the_load_of_a_running_gateway_as_json(samples: Path) -> None:
    with fake_gateway(lambda _: Answer()) as url:
        result = splitway(
            "bench", "--json", "--url", url, "--seconds", "0.3", samples / "cat.jpg", samples / "rocket.jpg"
        )
    figures = json.loads(result.stdout)
    assert figures["requests"] > 0
    assert figures["requests_per_s"] == pytest.approx(figures["requests"] / 0.3)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["failures"] == {}


def test_a_pipeline_of_its_own_is_explained_and_stopped(models: Path, samples: Path) -> None:
    options = ("--explain", "--json", "--models", models, "--seconds", "0.5")
    result = splitway("bench", *options, samples / "cat.jpg", SPLITWAY_CACHE="memory")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    wait_ms = found["wait"]["mean_ms"]
    assert list(found["places"]) == ["feature_extractor", "classifier", "gateway", "client"]
    assert sum(place["mean_ms"] for place in found["places"].values()) == pytest.approx(wait_ms)
    assert sum(place["share"] for place in found["places"].values()) == pytest.approx(1.0)
    for stage in ("feature_extractor", "classifier"):
        place = found["places"][stage]
        assert {"queue", "decode", "compute", "network"} == set(place["parts"])
        assert sum(part["mean_ms"] for part in place["parts"].values()) == pytest.approx(place["mean_ms"], abs=0.01)
    assert found["places"]["feature_extractor"]["parts"]["compute"]["mean_ms"] > 0, "it was the cache that was measured"
    assert found["break_even"]["cost_ms"] == pytest.approx(
        found["break_even"]["served_ms"] - found["break_even"]["in_process_ms"]
    )
    assert found["says"][0].startswith(("The split costs", "The split has no measurable cost"))  # on a busy machine
    address = re.search(r"at (http://\S+)", result.stderr)
    assert address is not None
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address[1]}/livez", trust_env=False)


def test_a_load_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(LoadResult(4, 2.0, [1.0, 2.0, 3.0], Counter(overloaded=2)))
    head, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[:4] == ["clients", "seconds", "requests", "requests/s"]
    assert row == ["4", "2", "3", "1.5", "2.0", "3.0", "2", "overloaded"]
