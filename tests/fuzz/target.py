"""What a fuzz target is: a reader of bytes from outside, and how to begin with it."""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
"""By target: few inputs that together reach most of what has been reached; kept, and replayed by the tests."""
REGRESSIONS = HERE / "regressions"
"""By target: inputs that once broke something."""
NAMES = sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Target:
    """One reader.

    Args:
        run: reads one input. It swallows the errors that the reader is documented to raise and fails by any other, and
            where what was read does not mean the same when it is written and read again.
        seeds: whole and nearly whole inputs, to begin with.
        tokens: words of the format, for the fuzzer to put in.
        max_bytes: longer inputs reach nothing new.
        json_at: where in an input there is JSON, from and to, so that it can be changed and stay JSON.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    tokens: Sequence[str] = ()
    max_bytes: int = 4096
    json_at: Callable[[bytes], tuple[int, int]] | None = None


def load(name: str) -> Target:
    """The target of this name."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def wait_for(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a coroutine on the one loop that all inputs share."""
    return _loop().run_until_complete(coroutine)


def check_brief(error: Exception) -> None:
    """What is wrong is said in a few lines, not in as many bytes as were read."""
    assert len(str(error)) < 2000


def everywhere(data: bytes) -> tuple[int, int]:
    """The place of the JSON where an input is nothing else."""
    return 0, len(data)


def lines(data: bytes, count: int) -> tuple[list[str], bytes]:
    """Split off the first lines, as latin-1 text like that of headers; the rest are bytes."""
    *first, rest = [*data.split(b"\n", count), *[b""] * count][: count + 1]
    return [line.decode("latin-1") for line in first], rest
