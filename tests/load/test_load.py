"""Short runs of the load test on each service; nothing here asserts how fast anything is."""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.local.launch import LocalPipeline
from tests.load.arrivals import ROOT
from tests.load.inputs import SERVICES, question
from tests.load.knee import find_knee
from tests.load.others import Others, read_ticks
from tests.load.step import Step
from tests.splitway.cli.fake_gateway import Answer, fake_gateway, key_asked_for

pytestmark = pytest.mark.alone

_ANY_TIME_MS = "60000"


def _command(service: str, report: Path, *options: str) -> list[str]:
    tiny = ["--duration", "0.7", "--users", "1,2", "--max-rate", "8", "--mark", _ANY_TIME_MS]
    return [sys.executable, "-m", "tests.load.run", service, "--report", str(report), *tiny, *options]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def _assert_sound(done: subprocess.CompletedProcess[str], report: Path, service: str) -> None:
    """The run ended well, nothing failed, and the report has its table, knee and plots and asks nobody for anything."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "closed 2 users: answered" in done.stderr
    html = report.read_text(encoding="utf-8")
    rows = re.findall(r"<tr class=\"[^\"]*\"><td>(closed|open)</td>(.*?)</tr>", html)
    kinds = [arrivals for arrivals, _ in rows]
    assert kinds[:3] == ["closed", "closed", "open"]
    assert set(kinds[3:]) <= {"open"}
    for _, cells in rows:
        *_, sent, failed, told = re.findall(r"<td[^>]*>([^<]*)</td>", cells)
        assert int(sent) > 0
        assert (failed, told) == ("0", "")
    for text in (html, done.stdout):
        assert f"The knee of the {service} was not reached: 8.0 requests a second" in text
        assert re.search(r"Other processes .*took \d+% of this machine's \d+ cores meanwhile", unescape(text))
    assert html.count("<svg") == 4
    assert not re.search(r"<script|<link|src=|href=\"(?!#)|@import|url\((?!#)", html)


def test_gateway_with_a_pipeline_of_its_own(tmp_path: Path, models: Path) -> None:
    report = tmp_path / "new" / "splitway.gateway.html"
    done = _run(_command("gateway", report, "--models", str(models)))
    _assert_sound(done, report, "gateway")


@pytest.mark.parametrize("service", ["feature_extractor", "classifier"])
def test_a_stage_that_runs_already(pipeline: LocalPipeline, tmp_path: Path, service: str) -> None:
    report = tmp_path / f"{service}.html"
    done = _run(_command(service, report, "--host", f"{pipeline.of(service)[0].url}/"))
    _assert_sound(done, report, service)


@pytest.mark.parametrize("service", SERVICES)
def test_wrong_answers_are_failures(pipeline: LocalPipeline, service: str) -> None:
    asked = question(service, pipeline.of(service)[0].url)
    assert asked.fault(503, b"busy", None) == "503 busy"
    assert asked.fault(503, b'{"code": "overloaded", "detail": "9 wait"}', None) == "503 overloaded"
    assert asked.fault(0, b"", None) == "no answer"
    assert asked.fault(200, b"{}", None).startswith("200, but ")
    assert asked.fault(200, b'{"predictions": []}', None).startswith("200, but ")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9 does not answer"),
        ("mybox", "the host is an address such as http://127.0.0.1:8080, not 'mybox'"),
    ],
)
def test_a_host_that_does_not_answer(tmp_path: Path, host: str, told: str) -> None:
    done = _run(_command("classifier", tmp_path / "no.html", "--host", host))
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "no.html").exists()


def test_another_service_at_the_host(pipeline: LocalPipeline, tmp_path: Path) -> None:
    done = _run(_command("classifier", tmp_path / "no.html", "--host", pipeline.of("feature_extractor")[0].url))
    assert done.returncode == 1
    assert "is no classifier" in done.stderr


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [below for child in children for below in _descendants(child)]


@pytest.mark.parametrize("arrivals", ["closed", "open"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, arrivals: str) -> None:
    command = _command("gateway", tmp_path / "no.html", "--duration", "1" if arrivals == "open" else "60")
    if arrivals == "open":
        command += ["--users", "1", "--max-rate", "1000"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        for line in driver.stderr:
            if f" {arrivals} arrivals: " in line:
                break
        time.sleep(1.0)
        started = _descendants(driver.pid)
        assert len(started) >= 3
        driver.send_signal(signal.SIGINT)
        _, told = driver.communicate(timeout=60)
    assert driver.returncode == 130, told
    assert told.splitlines()[-1] == "load: stopped; no report was written"
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("own", "stolen", "says"),
    [
        (90, 0, "took 1% of this machine's 2 cores meanwhile: it was quiet."),
        (
            40,
            10,
            "took 26% of this machine's 2 cores meanwhile, 5% of them other machines on the same hardware, and 26%",
        ),
        (0, 0, "took 46% of this machine's 2 cores meanwhile, and 46% in the busiest step. The machine was busy"),
    ],
    ids=["quiet", "stolen", "busy"],
)
def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch, own: int, stolen: int, says: str) -> None:
    """A second on two cores, of which 92 of 200 ticks were busy, with so many of our own."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    others = Others()
    others.lap(read_ticks("cpu  100 0 0 500 20 0 0 0 7 0\ncpu0 1", 1000, 10.0))
    others.lap(read_ticks(f"cpu  {192 - stolen} 0 0 600 28 0 0 {stolen} 9 0\ncpu0 1", 1000 + own, 11.0))
    assert says in others.sentence()


def _service(capacity: float, hiccups: list[float]) -> Callable[[float], Step]:
    """A service that is at once slow beyond its capacity, and once at each of these rates."""

    def measure(rate: float) -> Step:
        slow = rate > capacity
        for hiccup in [each for each in hiccups if each <= rate]:
            hiccups.remove(hiccup)
            slow = True
        return Step.of("open", rate, 1.0, [500.0 if slow else 5.0] * 100, [])

    return measure


@pytest.mark.parametrize("start", [3.0, 40.0, 99.0, 1000.0])
def test_the_knee_is_found_from_anywhere(start: float) -> None:
    knee = find_knee(_service(100.0, []), start=start, mark_ms=50.0, seconds=5.0)
    assert knee.kept is not None
    assert 94 < knee.kept.load <= 100


def test_one_hiccup_is_no_knee() -> None:
    knee = find_knee(_service(100.0, [20.0, 60.0]), start=20.0, mark_ms=50.0, seconds=5.0)
    assert knee.kept is not None
    assert 94 < knee.kept.load <= 100


def test_no_knee_is_said_so() -> None:
    knee = find_knee(_service(0.0, []), start=100.0, mark_ms=50.0, seconds=5.0)
    assert knee.kept is None
    assert "No knee of the classifier: even " in knee.sentence("classifier", 50.0)


def test_a_failure_misses_every_mark() -> None:
    step = Step.of("open", 10.0, 1.0, [1.0] * 9, ["503 busy"])
    assert not step.keeps(math.inf)
    assert (step.requests, step.failures, step.told) == (10, 1, "503 busy")
    assert not Step.of("open", 10.0, 1.0, [], ["503 busy"]).keeps(1e9)


def test_a_gateway_that_asks_for_a_key_is_shown_it(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = [{"label": f"class {n}", "confidence": 0.1} for n in range(5)]
    with fake_gateway(of=key_asked_for("the-key", Answer(content={"predictions": classes}))) as url:
        with pytest.raises(SetupError, match="does not answer as a gateway should: 401 unauthorized"):
            question("gateway", url)
        monkeypatch.setenv("SPLITWAY_API_KEY", "the-key")
        made = question("gateway", url)
    assert made.headers["authorization"] == "Bearer the-key"
    assert "the-key" not in repr(made)
