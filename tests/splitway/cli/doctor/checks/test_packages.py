"""Python and packages, right and wrong."""

from __future__ import annotations

import pytest

from splitway.cli.doctor.checks.packages import packages, python, tracing

REQUIREMENTS = (
    "numpy>=2.0",
    "ai-edge-litert>=2.1; extra == 'serve'",
    "fastapi<1,>=0.163; extra == 'serve'",
    "fastapi>=0.163; extra == 'gateway'",
    "uvloop>=0.21; (sys_platform != 'win32') and extra == 'gateway'",
    "tensorflow>=2.20; extra == 'split'",
)
ALL = {"numpy": "2.1", "ai-edge-litert": "2.1.0", "fastapi": "0.163.0", "uvloop": "1.0"}


@pytest.mark.parametrize(
    ("version", "level"), [((3, 11, 0), "ok"), ((3, 14, 2), "ok"), ((3, 10, 12), "problem"), ((2, 7, 18), "problem")]
)
def test_python_must_be_one_that_is_supported(version: tuple[int, int, int], level: str) -> None:
    assert python(version, ">=3.11").level == level


def test_all_that_serving_needs_is_right_without_what_splitting_needs() -> None:
    found = packages(REQUIREMENTS, ALL.get)
    assert [result.level for result in found] == ["ok", "ok"]


def test_what_one_app_lacks_is_a_warning_since_it_may_run_elsewhere() -> None:
    stages, gateway = packages(REQUIREMENTS, {**ALL, "ai-edge-litert": None}.get)
    assert (stages.level, gateway.level) == ("warning", "ok")
    assert "ai-edge-litert is missing" in stages.says
    assert stages.do == "pip install 'splitway[serve]'"


@pytest.mark.parametrize("have", [None, "0.99.1"], ids=["missing", "too-old"])
def test_what_both_lack_is_a_problem(have: str | None) -> None:
    found = packages(REQUIREMENTS, {**ALL, "fastapi": have}.get)
    assert [result.level for result in found] == ["problem", "problem"]
    assert "fastapi" in found[0].says


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
    assert tracing(environment, lambda _: package).level == level
