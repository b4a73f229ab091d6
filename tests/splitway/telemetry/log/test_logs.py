"""One format for every line, the libraries' too; what strangers may provoke as often as they like fills no disk."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from splitway.telemetry.log.logs import PACKAGE, Repeats, configure_logs
from splitway.telemetry.settings import TelemetrySettings


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger(PACKAGE)]
    handlers, levels = list(loggers[0].handlers), [each.level for each in loggers]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


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


def test_a_lines_time_is_when_it_happened_and_not_when_it_was_written() -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings(), stream)
    record = logging.LogRecord("splitway.request", logging.INFO, __file__, 0, "request", (), None)
    record.created = 1_700_000_000.25
    logging.getLogger("splitway.request").handle(record)
    handler.flush()
    assert orjson.loads(stream.getvalue())["time"] == "2023-11-14T22:13:20.250000Z"


def _log_a_defect(text: str = "a defect") -> None:
    payload = "a " + "secret"
    try:
        int(text, len(payload))
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
    logging.getLogger("splitway.request").info("request", extra={"blamed": "\x1b[2J\x1b]0;pwned\x07\r\x9b2J"})
    logging.getLogger("splitway.request").info("a head called \x1b[31m\n12:00:00 [info] all is well")
    handler.flush()
    assert len(stream.getvalue().splitlines()) == 2
    assert not {"\x1b", "\x07", "\r", "\x9b"} & set(stream.getvalue())


@pytest.mark.parametrize("format_", ["json", "text"])
def test_nor_what_is_in_a_traceback_and_none_of_its_lines_looks_like_one_of_ours(format_: str) -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings.model_validate({"log_format": format_}), stream)
    _log_a_defect("\x1b[2J\n12:00:00 [info] all is well")
    handler.flush()
    assert "\x1b" not in stream.getvalue()
    assert all(line.startswith("  ") for line in stream.getvalue().splitlines()[1:])


def test_libraries_do_not_quote_what_they_read_however_much_is_logged() -> None:
    stream = io.StringIO()
    handler = configure_logs("gateway", TelemetrySettings(log_level="debug"), stream)
    logging.getLogger("PIL.TiffImagePlugin").debug("tag: GPS, value: 52.5200 N")
    logging.getLogger("splitway.wire").debug("ours")
    handler.flush()
    assert [orjson.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["ours"]


class Clock:
    """Stands until it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _line(name: str, lineno: int = 1, *, defect: bool = False) -> logging.LogRecord:
    trace = (ValueError, ValueError(), None) if defect else None
    return logging.LogRecord(name, logging.WARNING, "/library.py", lineno, "odd", (), trace)


def _passed(repeats: Repeats, count: int, name: str, lineno: int = 1, *, defect: bool = False) -> int:
    return sum(repeats.filter(_line(name, lineno, defect=defect)) for _ in range(count))


def test_of_a_librarys_line_the_first_of_each_second_are_logged_and_the_others_counted() -> None:
    clock = Clock()
    repeats = Repeats(clock, per_second=5)
    assert _passed(repeats, 1000, "uvicorn.error") == 5
    clock.now_s = 1.0
    first, second = _line("uvicorn.error"), _line("uvicorn.error")
    assert repeats.filter(first)
    assert repeats.filter(second)
    assert vars(first)["left_out"] == 995
    assert "left_out" not in vars(second)


def test_each_place_in_the_code_has_its_own_count() -> None:
    repeats = Repeats(Clock(), per_second=5)
    assert _passed(repeats, 10, "uvicorn.error", lineno=1) == 5
    assert _passed(repeats, 10, "uvicorn.error", lineno=2) == 5


def test_of_ours_only_stack_traces_are_counted() -> None:
    repeats = Repeats(Clock(), per_second=5)
    assert _passed(repeats, 100, "splitway.request") == 100
    assert _passed(repeats, 100, "splitway.http.fast_routes", defect=True) == 5
