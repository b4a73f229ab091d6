"""Lines are written in order and whole, and no work waits for their reader."""

from __future__ import annotations

import io
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from splitway.telemetry.log.lines import Lines
from testkit.support import until


def test_lines_of_many_threads_are_whole() -> None:
    stream = io.StringIO()
    lines = Lines(stream)

    def speak(name: int) -> None:
        for number in range(200):
            lines.write(f"{name} says {number}")

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.flush()
    said = stream.getvalue().splitlines()
    for name in range(4):
        assert [line for line in said if line.startswith(f"{name} ")] == [f"{name} says {n}" for n in range(200)]


def test_a_reader_who_stands_still_stops_nobody() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as stream:
        lines = Lines(stream, most_waiting=100)
        for number in range(5000):
            lines.write(f"{number} " + "x" * 100)
        lines.flush(timeout_s=0.05)  # comes back although nothing moves
        dropped = lines.take_dropped()
        assert 0 < dropped <= 4900
        assert lines.take_dropped() == 0
        seen = [reader.readline() for _ in range(5000 - dropped)]
        assert [int(line.split()[0]) for line in seen] == sorted(int(line.split()[0]) for line in seen)
        lines.write("again")
        until(lambda: reader.readline() == "again\n", 5)


def test_records_that_find_room_again_say_how_many_were_dropped() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as reader, ThreadPoolExecutor(1) as pool:
        with os.fdopen(writing, "w") as stream:
            lines = Lines(stream, most_waiting=100)
            logger = logging.Logger("a logger of its own")
            logger.addHandler(lines)
            for number in range(5000):
                logger.info("%d %s", number, "x" * 100)
            read = pool.submit(reader.readlines)
            lines.flush(timeout_s=10)
            logger.info("again")
            lines.flush(timeout_s=10)
        *written, again = read.result()
    assert again == "again\n"
    said = [line for line in written if line.endswith(" lines were dropped: nothing read them\n")]
    assert written[-1] in said
    assert sum(int(line.split()[0]) for line in said) == 5000 - (len(written) - len(said))


def test_a_reader_who_has_gone_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    lines = Lines(stream)
    lines.write("nobody hears this")
    lines.flush()
    lines.write("nor this")
    lines.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # so that closing it has somewhere to write to
    stream.close()
