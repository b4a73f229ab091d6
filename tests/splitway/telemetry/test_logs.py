"""One format for every line, the libraries' too."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from splitway.telemetry.logs import configure_logs
from splitway.telemetry.settings import TelemetrySettings


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_json_where_no_terminal_is() -> None:
    stream = io.StringIO()
    handler = configure_logs("classifier", TelemetrySettings(), stream)
    logging.getLogger("splitway.request").info("request", extra={"request_id": "mine", "ms": 1.5})
    logging.getLogger("some.library").warning("%s is odd", "this")
    logging.getLogger("some.library").debug("unseen")
    handler.flush()
    first, second = map(orjson.loads, stream.getvalue().splitlines())
    assert list(first) == ["time", "level", "service", "event", "request_id", "ms"]
    assert (first["level"], first["service"], first["event"], first["ms"]) == ("info", "classifier", "request", 1.5)
    assert first["time"].endswith("Z")
    assert (second["level"], second["event"]) == ("warning", "this is odd")


def _log_a_defect() -> None:
    payload = "a " + "secret"
    try:
        int("a defect", len(payload))
    except ValueError:
        logging.getLogger("gateway").exception("POST %s", "/v1/classify")


def test_a_traceback_stays_in_its_line() -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings(), stream)
    _log_a_defect()
    handler.flush()
    (line,) = map(orjson.loads, stream.getvalue().splitlines())
    assert line["event"] == "POST /v1/classify"
    assert "ValueError: invalid literal" in line["exception"]


@pytest.mark.parametrize(("stream", "format_"), [(_Terminal(), "auto"), (io.StringIO(), "text")], ids=["auto", "text"])
def test_text_on_a_terminal_and_where_it_is_asked_for(stream: io.StringIO, format_: str) -> None:
    handler = configure_logs("gateway", TelemetrySettings.model_validate({"log_format": format_}), stream)
    logging.getLogger("splitway.request").info("request", extra={"outcome": "ok"})
    handler.flush()
    text = stream.getvalue()
    assert not text.startswith("{")
    for part in ("request", "outcome", "ok"):
        assert part in text


@pytest.mark.parametrize("format_", ["json", "text"])
def test_a_traceback_shows_no_values(format_: str) -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings.model_validate({"log_format": format_}), stream)
    _log_a_defect()
    handler.flush()
    assert "ValueError: invalid literal" in stream.getvalue()
    assert "a secret" not in stream.getvalue()


def test_the_level_is_a_setting() -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings(log_level="error"), stream)
    logging.getLogger("splitway.request").warning("request")
    handler.flush()
    assert not stream.getvalue()


@pytest.mark.parametrize("format_", ["json", "text"])
def test_nothing_that_is_logged_moves_a_terminals_cursor(format_: str) -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings.model_validate({"log_format": format_}), stream)
    logging.getLogger("splitway.request").info("request", extra={"blamed": "\x1b[2J\x1b]0;pwned\x07\r"})
    logging.getLogger("splitway.request").info("a head called \x1b[31m")
    handler.flush()
    assert len(stream.getvalue().splitlines()) == 2
    assert not {"\x1b", "\x07", "\r"} & set(stream.getvalue())
