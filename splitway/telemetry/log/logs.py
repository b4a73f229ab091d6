"""Logs: one line for each thing that happened, as JSON for machines or as text for people, on stderr."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from splitway.errors import printable
from splitway.telemetry.log.lines import Lines
from splitway.telemetry.settings import TelemetrySettings

PACKAGE = "splitway"
"""Our own package. How often its lines come is bounded where they are logged."""
_PER_SECOND = 5
_INDENT = "  "


def configure_logs(service: str, settings: TelemetrySettings, stream: TextIO | None = None) -> Lines:
    """Send everything that this process logs, the libraries' lines too, through one format and by one handler, to a
    stream or else to stderr."""
    stream = stream or sys.stderr
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    first: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _when_and_where(service),
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # without local variables, which hold pictures and keys
        _printable,
    ]
    if as_text:
        text = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            timestamp_key="time",
            sort_keys=False,
            pad_event_to=0,
            pad_level=False,
        )
        last += [_readable, text]
    else:
        last += [_in_order, structlog.processors.JSONRenderer(_dumps)]
    formatter = structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=first)
    handler = Lines(stream)
    handler.setFormatter(formatter)
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(max(level, logging.INFO))  # below that, libraries quote what they read: headers, a picture's EXIF
    logging.getLogger(PACKAGE).setLevel(level)
    return handler


def _when_and_where(service: str) -> Processor:
    """When it happened, as a request's line is written a moment after the request has ended, and in which service."""

    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        happened = datetime.fromtimestamp(event["_record"].created, UTC)
        event["time"] = happened.isoformat(timespec="microseconds").replace("+00:00", "Z")
        event["service"] = service
        return event

    return add


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


def _printable(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Nothing that comes from outside may move a terminal's cursor, or begin a line that looks like one of ours."""
    trace = event.pop("exception", None)
    shown: EventDict = {key: _in_one_line(each) if isinstance(each, str) else each for key, each in event.items()}
    return shown if trace is None else {**shown, "exception": _INDENT + printable(trace).replace("\n", "\n" + _INDENT)}


def _in_one_line(text: str) -> str:
    return text if text.isprintable() else printable(text).replace("\n", "\\n")


def _dumps(event: Any, **options: Any) -> str:
    return orjson.dumps(event, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS).decode()


@dataclass
class _LinePlace:
    """A place in the code that logs."""

    second: int = 0
    logged: int = 0
    left_out: int = 0


class Repeats(logging.Filter):
    """Limits the lines per second from each place in the code that callers can provoke at will:
    what others' code logs, and stack traces. A line that comes after some that did not says how many, as `left_out`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, per_second: int = _PER_SECOND) -> None:
        super().__init__()
        self._clock = clock
        self._per_second = per_second
        self._places: dict[tuple[str, int], _LinePlace] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == PACKAGE and not record.exc_info:
            return True
        place = self._places.setdefault((record.pathname, record.lineno), _LinePlace())
        second = int(self._clock())
        if second != place.second:
            place.second, place.logged = second, 0
        if place.logged >= self._per_second:
            place.left_out += 1
            return False
        place.logged += 1
        if place.left_out:
            record.left_out, place.left_out = place.left_out, 0
        return True
