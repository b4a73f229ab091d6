"""Logs: one line for each thing that happened, as JSON for machines or as text for people, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from splitway.telemetry.settings import TelemetrySettings


def configure_logs(service: str, settings: TelemetrySettings, stream: TextIO | None = None) -> None:
    """Send everything that this process logs, the libraries' lines too, through one format.

    Args:
        service: stands in each line.
        settings: level and format.
        stream: where to; stderr if not given.
    """
    stream = stream or sys.stderr
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    first: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _named(service),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_text:
        text = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            timestamp_key="time",
            sort_keys=False,
            pad_event_to=0,
            pad_level=False,
            exception_formatter=structlog.dev.plain_traceback,  # others show local variables: pictures, keys
        )
        last += [_readable, text]
    else:
        last += [structlog.processors.format_exc_info, _in_order, structlog.processors.JSONRenderer(_dumps)]
    formatter = structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=first)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())


def _named(service: str) -> Processor:
    def name(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return name


def _in_order(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What every line has, before what only some have."""
    first = {key: event.pop(key) for key in ("time", "level", "service", "event") if key in event}
    return {**first, **event}


def _readable(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What people look for, in the order in which they read; the JSON form has the rest."""
    event["time"] = event["time"][11:23]
    for stage, parts in event.pop("stages", {}).items():
        event[f"{stage}_ms"] = parts["total_ms"]
    for key in ("service", "trace_id", "feature_space", "received_bytes", "sent_bytes"):
        event.pop(key, None)
    return {key: value for key, value in event.items() if value != ""}


def _dumps(event: Any, **options: Any) -> str:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS).decode()
