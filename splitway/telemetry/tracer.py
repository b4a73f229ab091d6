"""Whether this process exports traces: asked of the standard OTEL_* variables, once, when it starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from splitway.errors import SetupError
from splitway.telemetry.trace import NoTracer, Tracer

_log = logging.getLogger(__name__)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def make_tracer(service: str, environment: Mapping[str, str] | None = None) -> Tracer:
    """Return what exports traces, where OTEL_* variables ask for that, or what only passes them on.

    Raises:
        SetupError: they ask for what is not there.
    """
    variables = os.environ if environment is None else environment
    if not _asked_for(variables):
        return NoTracer()
    try:
        from splitway.telemetry.otel import OtelTracer
    except ImportError:
        _log.warning("OTEL_* variables ask for traces, which need OpenTelemetry: pip install 'splitway[otel]'")
        return NoTracer()
    return OtelTracer(service)


def _asked_for(variables: Mapping[str, str]) -> bool:
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = variables.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter not in ("", "otlp", "none"):
        raise SetupError(f"OTEL_TRACES_EXPORTER={exporter}: traces are exported by otlp, or by none")
    asked = exporter == "otlp" or any(variables.get(name, "").strip() for name in _ENDPOINTS)
    if exporter == "none" or not asked:
        return False
    protocol = next((variables[name].strip() for name in _PROTOCOLS if variables.get(name, "").strip()), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise SetupError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: traces are sent by {_PROTOCOL} alone")
    return True
