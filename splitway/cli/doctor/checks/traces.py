"""Traces: whether those that are asked for can be exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from splitway.cli.doctor.checks.result import Finding, ok, problem, warning
from splitway.errors import SetupError
from splitway.telemetry.settings import traces_asked_for

_EXPORTER = "opentelemetry-exporter-otlp-proto-http"


def traces(environment: Mapping[str, str], installed: Callable[[str], str | None]) -> Finding:
    """Whether traces that OTEL_* variables ask for can be exported.

    Args:
        environment: the variables.
        installed: the version of a package by its name; None if it is not there.
    """
    try:
        asked = traces_asked_for(environment)
    except SetupError as error:
        return problem("traces", f"no process starts: {error.detail}", "correct that variable, or unset it")
    if not asked:
        return ok("traces", "no OTEL_* variable asks for them; trace ids are in the logs anyway")
    if installed(_EXPORTER) is None:
        says = "OTEL_* variables ask for traces, and OpenTelemetry is missing: none are exported"
        return warning("traces", says, "pip install 'splitway[otel]'")
    return ok("traces", "they are exported, as OTEL_* variables ask")
