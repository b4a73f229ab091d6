"""`splitway logs`: what a pipeline that runs detached has written, and what it writes."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from splitway.cli.console import ERR
from splitway.cli.launched.output import NAME_WIDTH
from splitway.errors import SetupError, printable
from splitway.local.runs import all_runs, check_name, find_run, written_logs

_POLL_S = 0.2
_TWO_TIMES = re.compile(r"(\d{4}-\d\d-\d\dT)([\d:.]{12})(Z [^|]*\| )([\d:.]{12}) ")


def logs(name: str | None, stage: str | None, lines: int, *, follow: bool) -> None:
    """Print the last lines, of one stage or process if it is named, and go on if asked to, until the pipeline ends.

    Raises:
        SetupError: there is no such log, or there are several and none is named.
    """
    chosen, path = find_log(name)
    with suppress(KeyboardInterrupt, BrokenPipeError):
        reader = LogReader(path)
        last = list(reader.last(lines, lambda line: speaks(line, stage)))
        if stage is not None and lines and not last and not follow:
            raise SetupError(f"no line in {path} is of {stage!r}: splitway ps names the processes")
        for line in last:
            print(with_one_time(printable(line)), flush=follow)
        if follow:
            for line in reader.follow(lambda: _is_read() and _runs(chosen)):
                if speaks(line, stage):
                    print(with_one_time(printable(line)), flush=True)
            if _is_read():
                ERR.print("the pipeline has ended", markup=False)


def _is_read() -> bool:
    """Whether what is printed goes to somewhere still: a pipe's reader, such as head, may have gone."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not poll.poll(0)


def find_log(name: str | None) -> tuple[str | None, Path]:
    """Return the log that is meant, and its pipeline's name. Raises SetupError as `logs`."""
    there = written_logs()
    if name is not None:
        check_name(name)
        if name not in there:
            raise SetupError(f"there is no log of a pipeline {name!r}: only splitway up -d writes one")
        return name, there[name]
    found = find_run(None)
    if found is not None and (found[1].launcher is None or found[1].launcher.log is None):
        raise SetupError("this pipeline writes its log to where splitway up was started; splitway up -d writes a file")
    if found is None and len(there) > 1 and None not in there:
        raise SetupError(f"there are logs of {', '.join(map(str, there))}: choose one with --name")
    chosen = found[0] if found is not None else None if None in there else next(iter(there), None)
    if chosen not in there:
        raise SetupError("there is no log in this folder: splitway up -d writes one")
    return chosen, there[chosen]


def speaks(line: str, stage: str | None) -> bool:
    """Whether a line is of that process, or of one of that stage."""
    if stage is None:
        return True
    speaker = line.partition(" ")[2][:NAME_WIDTH].partition("|")[0].rstrip()
    return stage in (speaker, speaker.partition(".")[0])


def with_one_time(line: str) -> str:
    """A line with the time at which it happened, as its process says, in place of the later one when it was written."""
    if (found := _TWO_TIMES.match(line)) is None:
        return line
    date, written, speaker, happened = found.groups()
    return f"{date}{min(happened, written)}{speaker}{line[found.end() :]}"  # at midnight they are of two days


class LogReader:
    """Reads a log that is rotated: `x.log` becomes `x.log.1`, that `x.log.2`, and so on.

    Args:
        path: of the newest part.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        """How far the newest part has been read."""
        self._inode = 0

    def last(self, count: int, wanted: Callable[[str], bool]) -> list[str]:
        """Return the last lines that are wanted, the newest at the end. Raises OSError."""
        found: deque[str] = deque()
        for number, path in enumerate(self._parts()):
            with path.open("rb") as file:
                chosen = deque((line for line in _whole_lines(file) if wanted(line)), maxlen=count - len(found))
                if number == 0:
                    self._end, self._inode = file.tell(), os.fstat(file.fileno()).st_ino
            found.extendleft(reversed(chosen))
            if len(found) >= count:
                break
        return list(found)

    def _parts(self) -> Iterator[Path]:
        """The parts that there are, the newest first."""
        yield self._path
        number = 1
        while (older := self._path.with_name(f"{self._path.name}.{number}")).exists():
            yield older
            number += 1

    def follow(self, goes_on: Callable[[], bool], wait: Callable[[float], None] = time.sleep) -> Iterator[str]:
        """Yield lines as they are written, until there are none and `goes_on` says no. Raises OSError."""
        while True:
            went_on = goes_on()
            yield from self._new_lines()
            if not went_on:
                return
            wait(_POLL_S)

    def _new_lines(self) -> Iterator[str]:
        with ExitStack() as opened:
            for file in reversed(self._open_new_parts(opened)):
                inode = os.fstat(file.fileno()).st_ino
                file.seek(self._end if inode == self._inode else 0)
                yield from _whole_lines(file)
                self._end, self._inode = file.tell(), inode

    def _open_new_parts(self, opened: ExitStack) -> list[BinaryIO]:
        """Open the parts that are not read to their end, the newest first."""
        files: list[BinaryIO] = []
        seen: set[int] = set()
        for path in self._parts():
            with suppress(FileNotFoundError):  # renamed at this moment, as where one is met twice: the next turn has it
                file = opened.enter_context(path.open("rb"))
                inode = os.fstat(file.fileno()).st_ino
                if inode in seen:
                    return []
                seen.add(inode)
                files.append(file)
                if inode == self._inode:
                    break
        return files


def _whole_lines(file: BinaryIO) -> Iterator[str]:
    """Yield lines that have an end, and leave the file behind the last of them."""
    behind = file.tell()
    for line in file:
        if not line.endswith(b"\n"):
            file.seek(behind)
            return
        behind += len(line)
        yield line.decode(errors="replace").rstrip("\n")


def _runs(name: str | None) -> bool:
    run = all_runs().get(name)
    return run is not None and run.is_running
