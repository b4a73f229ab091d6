"""Whether this process exports traces: asked of the standard OTEL_* variables, once, when it starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from splitway.errors import SetupError, first_line
from splitway.telemetry.settings import traces_asked_for
from splitway.telemetry.trace import Tracer

_log = logging.getLogger(__name__)


def make_tracer(service: str, environment: Mapping[str, str] | None = None, *, callers_decide: bool = True) -> Tracer:
    """Return what exports traces, where OTEL_* variables ask for that, or what only passes them on.

    Args:
        service: whose traces they are.
        environment: the process's, if not given.
        callers_decide: whether a caller may have a trace kept by marking it so; strangers may not.

    Raises:
        SetupError: they ask for what is not there.
    """
    variables = os.environ if environment is None else environment
    if not traces_asked_for(variables):
        return Tracer(callers_decide=callers_decide)
    try:
        from splitway.telemetry.otel import OtelTracer
    except ImportError:
        _log.warning("OTEL_* variables ask for traces, which need OpenTelemetry: pip install 'splitway[otel]'")
        return Tracer(callers_decide=callers_decide)
    try:
        return OtelTracer(service, callers_decide=callers_decide)
    except ValueError as error:
        raise SetupError(f"OTEL_* variables: {first_line(error)}") from error
