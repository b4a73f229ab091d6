"""The committed rules: valid, each alert tried on made-up series, complete in what people are told."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from splitway.telemetry.outcome import CALLERS
from tests.deploy.prometheus.server import COMMITTED, alerts, needs, rules

needs("promtool")

ROOT = COMMITTED.parent.parent
UNIT_TESTS = sorted(COMMITTED.glob("tests/*.yml"))
ALERTS = {alert["alert"]: alert for alert in alerts()}


def _promtool(*arguments: str | Path) -> None:
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_takes_configuration_and_rules() -> None:
    _promtool("check", "config", COMMITTED / "prometheus.yml")
    _promtool("check", "rules", *sorted(COMMITTED.glob("rules/*.yml")))


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    _promtool("test", "rules", path)


def test_each_alert_is_seen_firing_and_seen_quiet_in_the_unit_tests() -> None:
    fires: set[str] = set()
    quiet: set[str] = set()
    for path in UNIT_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", ()):
                (fires if case.get("exp_alerts") else quiet).add(case["alertname"])
    assert fires == quiet == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_how_much_how_urgent_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    notes = alert["annotations"]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert notes["summary"]
    assert "$value" in notes["description"]
    path, _, anchor = notes["runbook_url"].partition("#")
    headings = re.findall(r"^#{2,4} (.+)$", (ROOT / path).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_only_what_is_the_callers_is_left_out_of_the_objective() -> None:
    """A new error of callers has to be named in the rules; a new one of ours burns the budget by itself."""
    (failed,) = (rule for rule in rules() if rule.get("record") == "job_instance:splitway_gateway_requests_failed:sum")
    (left_out,) = re.findall(r'outcome!~"([^"]+)"', failed["expr"])
    assert set(left_out.split("|")) == {"ok", "cancelled", *CALLERS} - {"feature_space_mismatch"}


def test_each_rules_name_says_what_it_is_and_is_there_once() -> None:
    names = [rule["record"] for rule in rules() if "record" in rule]
    assert all(re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", name) for name in names)
    assert len(set(names)) == len(names)


def test_a_windows_name_is_the_window_that_it_reads() -> None:
    for rule in rules():
        if (window := re.search(r":(?:rate|increase)(\d+[mhd])$", rule.get("record", ""))) is not None:
            assert set(re.findall(r"\[(\w+)\]", rule["expr"])) <= {window[1]}, rule["record"]
