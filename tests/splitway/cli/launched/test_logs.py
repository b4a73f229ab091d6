"""A log is read from its end, by process, and followed over its rotation."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from splitway.cli.launched.detach import start_detached
from splitway.cli.launched.logs import LogReader, find_log, speaks, with_one_time
from splitway.cli.launched.output import LogFile
from splitway.errors import SetupError
from splitway.local.run_file import make_run_folder
from splitway.local.runs import log_path


def _parts(folder: Path, *parts: str) -> Path:
    """Write parts of a log, the newest first."""
    for number, text in enumerate(parts):
        (folder / f"run.log{f'.{number}' if number else ''}").write_text(text)
    return folder / "run.log"


def test_the_last_lines_come_from_older_parts_too(tmp_path: Path) -> None:
    reader = LogReader(_parts(tmp_path, "5\n6\n", "3\n4\n", "1\n2\n"))
    assert reader.last(3, lambda _: True) == ["4", "5", "6"]
    assert reader.last(2, lambda line: line in "246") == ["4", "6"]
    assert reader.last(99, lambda _: True) == ["1", "2", "3", "4", "5", "6"]
    assert reader.last(0, lambda _: True) == []


def test_what_is_written_later_is_followed_over_two_rotations(tmp_path: Path) -> None:
    log = _parts(tmp_path, "old\n")
    reader, waits = LogReader(log), iter(range(3))

    def write_more(_: float) -> None:
        if next(waits) == 0:
            with log.open("a") as file:
                file.write("a\nhalf")
            return
        with log.open("a") as file:
            file.write(" done\n")
        for text in ("b\n", "c\n"):
            for number in (1, 0):
                part = tmp_path / f"run.log{f'.{number}' if number else ''}"
                if part.exists():
                    part.rename(tmp_path / f"run.log.{number + 1}")
            log.write_text(text)

    goes_on = iter([True, True, False])
    assert reader.last(9, lambda _: True) == ["old"]
    assert list(reader.follow(lambda: next(goes_on), write_more)) == ["a", "half done", "b", "c"]


def test_a_line_has_one_time_that_at_which_it_happened() -> None:
    for written, happened, shown in (
        ("17:33:54.951", "17:33:54.747", "17:33:54.747"),
        ("00:00:00.100", "23:59:59.900", "00:00:00.100"),  # of the day before
    ):
        line = f"2026-11-30T{written}Z gateway             | {happened} [info] request path=/v1/classify"
        assert with_one_time(line) == f"2026-11-30T{shown}Z gateway             | [info] request path=/v1/classify"
    for line in ("2026-11-30T17:33:54.951Z up                  | stopping", "anything | 17:33:54.747 else"):
        assert with_one_time(line) == line


def test_the_log_is_its_owners_alone_and_not_written_through_a_link(tmp_path: Path) -> None:
    log, precious = tmp_path / "run.log", tmp_path / "precious"
    with pytest.raises(SetupError, match="ended before it was ready"):
        start_detached(lambda _: ["echo", "what it said"], log)
    assert log.read_text() == "what it said\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.unlink()
    log.symlink_to(precious)
    with pytest.raises(OSError, match="Too many levels"):
        start_detached(lambda _: ["true"], log)
    with pytest.raises(SetupError, match="cannot write"):
        LogFile(log)
    assert not precious.exists()


def test_the_log_that_up_writes_is_rotated_and_three_older_parts_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splitway.cli.launched.output._LOG_BYTES", 200)
    log = LogFile(tmp_path / "run.log")
    for number in range(30):
        log.of_process("classifier.2", f"line {number}")
    log.say("[bold]said[/] by up itself")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.log", "run.log.1", "run.log.2", "run.log.3"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 200
    lines = LogReader(tmp_path / "run.log").last(4, lambda _: True)
    assert [line.rpartition("| ")[2] for line in lines] == ["line 27", "line 28", "line 29", "said by up itself"]
    assert [speaks(line, "classifier") for line in lines] == [True, True, True, False]
    assert [speaks(line, "classifier.1") for line in lines] == [False] * 4
    assert speaks(lines[3], "up")


def test_the_log_is_found_by_name_or_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match="splitway up -d writes one"):
        find_log(None)
    make_run_folder(log_path("a").parent)
    for name in ("a", "b"):
        log_path(name).write_text("")
        assert find_log(name) == (name, log_path(name))
        if name == "a":
            assert find_log(None) == ("a", log_path("a"))
    with pytest.raises(SetupError, match=r"logs of a, b: choose one with --name"):
        find_log(None)
    with pytest.raises(SetupError, match="no log of a pipeline 'c'"):
        find_log("c")
    log_path(None).write_text("")
    assert find_log(None) == (None, log_path(None))
