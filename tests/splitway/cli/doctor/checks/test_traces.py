"""Traces that are asked for, with and without what exports them."""

from __future__ import annotations

import pytest

from splitway.cli.doctor.checks.traces import traces


@pytest.mark.parametrize(
    ("environment", "package", "level"),
    [
        ({}, None, "ok"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "1.38", "ok"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, None, "warning"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None, "warning"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, None, "ok"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, None, "ok"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "1.38", "problem"),
    ],
    ids=["unasked", "exported", "missing", "by-default-endpoint", "disabled", "none", "zipkin"],
)
def test_traces_that_are_asked_for_need_their_extra(
    environment: dict[str, str], package: str | None, level: str
) -> None:
    assert traces(environment, lambda _: package).level == level
