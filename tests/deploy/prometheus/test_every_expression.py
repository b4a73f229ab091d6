"""A real Prometheus beside the real pipeline, with a replica killed under load: no expression may give nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.deploy.prometheus.load import Load
from tests.deploy.prometheus.server import COMMITTED, Prometheus, needs, prometheus, rules, targets_of

pytestmark = pytest.mark.alone

needs("prometheus")

DASHBOARDS = sorted((COMMITTED.parent / "grafana" / "dashboards").glob("*.json"))
ENOUGH_S = 25
"""How long expressions may take to give something: a scrape, an evaluation and one more for rules upon rules."""


@dataclass(frozen=True)
class Seen:
    """What runs, and what the clients got of it."""

    prometheus: Prometheus
    load: Load
    killed: str


@pytest.fixture(scope="module")
def seen(models: Path, cat: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Two feature extractors, a cache, and load; one of the two is killed, so that there is something to retry."""
    plan = LaunchPlan(
        models, port=0, replicas={"feature_extractor": 2}, environment={"SPLITWAY_CACHE": "memory"}, run_file=None
    )
    with LocalPipeline(plan, LogBook().line) as pipeline:
        pipeline.wait_ready()
        folder = tmp_path_factory.mktemp("prometheus")
        with prometheus(folder, targets_of(pipeline), "1s") as server, Load(pipeline.gateway.url, cat) as load:
            until(lambda: load.statuses[200] > 20, 20)
            victim = pipeline.of("feature_extractor")[0]
            victim.popen.kill()
            victim.popen.wait()
            until(lambda: server.holds('sum(splitway_gateway_retries_total{outcome="unavailable"}) > 0'), 20)
            yield Seen(server, load, victim.url.removeprefix("http://"))


def _fill_in(expression: str, choices: dict[str, str]) -> str:
    for name, value in choices.items():
        expression = expression.replace(f"${name}", value)
    return expression.replace("$__rate_interval", "10s")


def _choices(server: Prometheus, dashboard: dict[str, Any]) -> list[dict[str, str]]:
    """Every value of a dashboard's variables that lives now; one empty choice where it has none."""
    made: list[dict[str, str]] = [{}]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            values = [labels[label] for labels, _ in server.query(metric)]
            made = [{**choice, variable["name"]: value} for choice in made for value in values]
    return made


def _asked(server: Prometheus, dashboard: dict[str, Any]) -> dict[str, str]:
    """Every expression that the dashboard asks, and the panel it is of."""
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return {
        _fill_in(target["expr"], choice): panel["title"]
        for choice in _choices(server, dashboard)
        for panel in panels
        for target in panel["targets"]
    }


def _all_give_something(server: Prometheus, asked: dict[str, str]) -> None:
    silent = dict(asked)
    deadline_s = time.monotonic() + ENOUGH_S
    while silent and time.monotonic() < deadline_s:
        silent = {expression: where for expression, where in silent.items() if not server.query(expression)}
        time.sleep(0.5)
    assert not silent, "nothing under load:\n" + "\n".join(f"{w}: {e}" for e, w in silent.items())


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_expression_of_a_dashboard_gives_something_under_load(seen: Seen, path: Path) -> None:
    dashboard = json.loads(path.read_text())
    assert len(_choices(seen.prometheus, dashboard)) == (2 if path.stem == "replica" else 1)
    _all_give_something(seen.prometheus, _asked(seen.prometheus, dashboard))


def test_every_rule_gives_something_under_load(seen: Seen) -> None:
    """An alert is asked with `bool`, which makes each of its comparisons 0 or 1 where it would else be nothing."""
    asked = {}
    for rule in rules():
        if "record" in rule:
            asked[rule["record"]] = "recorded"
        else:
            asked[re.sub(r" (==|>) ", r" \1 bool ", rule["expr"])] = rule["alert"]
    _all_give_something(seen.prometheus, asked)
    states = [rule for group in seen.prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert len(states) == len(list(rules()))
    assert [rule["name"] for rule in states if rule["health"] != "ok"] == []


def test_every_metric_that_is_asked_for_exists(seen: Seen) -> None:
    """What gives 0 where there is nothing would do so for a misspelt name as well."""
    dashboards = [json.loads(path.read_text()) for path in DASHBOARDS]
    expressions = [*(rule["expr"] for rule in rules()), *(e for d in dashboards for e in _asked(seen.prometheus, d))]
    asked = {n for e in expressions for n in re.findall(r"\b(?:splitway_|process_|job\w*:)[\w:]+|\bup\b|\bALERTS\b", e)}
    assert len(asked) > 50
    assert asked - set(seen.prometheus.get("label/__name__/values")) == set()


def test_the_trouble_is_seen_where_it_is(seen: Seen) -> None:
    server, killed = seen.prometheus, seen.killed
    for comparison in (
        f'up{{instance="{killed}"}} == 0',
        f'splitway_gateway_replica_ready{{replica="http://{killed}"}} == 0',
        'job:up:sum{job="feature_extractor"} == 1',
        'job_stage:splitway_gateway_retries:ratio_rate5m{stage="feature_extractor"} > 0',
        'job_stage:splitway_gateway_amplification:ratio_rate5m{stage="feature_extractor"} > 1',
        'job_stage:splitway_gateway_amplification:ratio_rate5m{stage="classifier"} == 1',
    ):
        until(partial(server.holds, comparison), 10)


def test_the_counts_are_the_clients_own(seen: Seen) -> None:
    """Last: it stops the load."""
    seen.load.__exit__()
    for status, outcomes in ((200, "ok"), (503, "unavailable|overloaded")):
        counted = f'sum(splitway_gateway_requests_total{{outcome=~"{outcomes}"}})'
        until(partial(seen.prometheus.holds, f"{counted} == {seen.load.statuses[status]}"), 5)
    assert seen.load.statuses[200] > 100
