"""Thirty seconds of load with a replica killed on the way: whoever looks counts what the clients have counted."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, splitway, until
from tests.deploy.prometheus.load import Load
from tests.deploy.prometheus.server import COMMITTED, Prometheus, needs, prometheus, targets_of
from tests.e2e.page.browser import CHROMIUM, View, chromium

pytestmark = pytest.mark.alone

needs("prometheus")

LOAD_S, KILL_AFTER_S = 30.0, 10.0
WINDOW = "5s"
"""Of the rates; the dashboards' own at this interval of scrapes."""
OVERVIEW = COMMITTED.parent / "grafana" / "dashboards" / "overview.json"


@dataclass(frozen=True)
class Seen:
    """What is left when the load is over."""

    statuses: dict[int, int]
    """What the clients got."""
    before: int
    """Answers before that."""
    pipeline: LocalPipeline
    prometheus: Prometheus
    began_s: float
    page: View

    @property
    def total(self) -> int:
        return sum(self.statuses.values())

    def integral(self, expression: str) -> dict[str, float]:
        """How much a dashboard's rate adds up to, from before the load until after it, by stage if it has them."""
        window = expression.replace("$__rate_interval", WINDOW)
        span = {"start": f"{self.began_s:.3f}", "end": f"{time.time():.3f}", "step": "1"}
        found = self.prometheus.get("query_range", query=window, **span)["result"]
        return {s["metric"].get("stage", ""): sum(float(value) for _, value in s["values"]) for s in found}


@pytest.fixture(scope="module")
def seen(models: Path, cat: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    plan = LaunchPlan(models, port=0, replicas={"feature_extractor": 2}, run_file=None)
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        LocalPipeline(plan, LogBook().line) as pipeline,
        chromium() as browser,
        prometheus(folder, _ready_targets(pipeline), "1s") as server,
    ):
        page = View(browser, pipeline.gateway.url).open()
        with Load(pipeline.gateway.url, cat) as first:  # counters near 0 are taken for new ones, whose rate is a guess
            until(lambda: first.statuses[200] > 100, 30)
        quiet = f"sum(increase(splitway_gateway_requests_total[{WINDOW}])) == 0"
        until(lambda: server.holds(f"sum(splitway_gateway_requests_total) > 100 and {quiet}"), 20)
        began_s = time.time()
        with Load(pipeline.gateway.url, cat) as load:
            time.sleep(KILL_AFTER_S)
            victim = pipeline.of("feature_extractor")[0].popen
            victim.kill()
            victim.wait()
            time.sleep(LOAD_S - KILL_AFTER_S)
        until(lambda: server.holds(quiet), 20)
        yield Seen(dict(load.statuses), first.statuses[200], pipeline, server, began_s, page)


def _ready_targets(pipeline: LocalPipeline) -> dict[str, list[str]]:
    pipeline.wait_ready()
    return targets_of(pipeline)


def _expression(title: str, contains: str) -> str:
    """The query of a panel of the overview that contains this."""
    panels = json.loads(OVERVIEW.read_text())["panels"]
    found = {t["expr"] for p in panels if p["title"] == title for t in p.get("targets", ()) if contains in t["expr"]}
    (expression,) = found
    return str(expression)


def _about(count: float) -> object:
    return pytest.approx(count, rel=0.01)


def test_a_replica_was_killed_and_hardly_anyone_noticed(seen: Seen) -> None:
    assert seen.total > 300
    assert seen.statuses[200] >= 0.995 * seen.total


def test_the_dashboards_agree_with_the_clients(seen: Seen) -> None:
    everything = _expression("Requests", "splitway_gateway_requests_total[")
    print(f"clients: {seen.total}, {seen.statuses[200]} of them well; the dashboards: {seen.integral(everything)}")
    assert seen.integral(everything) == {"": _about(seen.total)}
    answered = _expression("Requests by how they ended", 'outcome="ok"')
    assert seen.integral(answered) == {"": _about(seen.statuses[200])}
    turns = _expression("Hops", "splitway_gateway_hop_duration_seconds_count")
    assert seen.integral(turns) == {"feature_extractor": _about(seen.total), "classifier": _about(seen.total)}


def test_top_agrees_with_the_clients(seen: Seen) -> None:
    shown = json.loads(splitway("top", "--once", "--json", "--url", seen.pipeline.gateway.url).stdout)
    assert sum(shown["gateway"]["requests"].values()) == seen.before + seen.total
    assert shown["gateway"]["requests"]["ok"] == seen.before + seen.statuses[200]


def test_the_page_agrees_with_the_clients(seen: Seen) -> None:
    tally = seen.page.page.locator(".gateway .tally")

    def says() -> dict[str, int]:
        found = re.findall(r"([\d\s]+?) ([a-z ]+)", tally.inner_text().partition(": ")[2])
        return {outcome: int(re.sub(r"\s", "", number)) for number, outcome in found}

    until(lambda: sum(says().values()) == seen.before + seen.total, 5)
    assert says()["ok"] == seen.before + seen.statuses[200]
