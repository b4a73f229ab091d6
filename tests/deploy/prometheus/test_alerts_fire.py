"""Alerts seen firing in a real Prometheus when a stage of the real pipeline is killed, and silent before."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.deploy.prometheus.load import Load
from tests.deploy.prometheus.server import needs, prometheus, targets_of

pytestmark = pytest.mark.alone

needs("prometheus")

FASTER = 60
"""An hour is a minute here, five minutes are five seconds: the committed rules with each duration divided by this."""


def test_a_killed_stage_pages_by_its_target_by_its_stage_and_by_its_callers(
    models: Path, cat: bytes, tmp_path: Path
) -> None:
    expected = {("TargetDown", "classifier"), ("StageDown", "classifier"), ("ErrorBudgetBurnsFast", "gateway")}
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), LogBook().line) as pipeline:
        pipeline.wait_ready()
        with (
            prometheus(tmp_path, targets_of(pipeline), "500ms", FASTER) as server,
            Load(pipeline.gateway.url, cat, clients=2) as load,
        ):
            until(lambda: load.statuses[200] > 20, 20)
            until(lambda: server.holds("job:splitway_gateway_requests_counted:rate5m > 0"), 10)
            until(lambda: not expected & server.firing(), 20)
            (victim,) = pipeline.of("classifier")
            victim.popen.kill()
            victim.popen.wait()
            until(lambda: server.firing() >= expected, 30)
    assert set(load.statuses) == {200, 503}
