"""Foreign code, of layers and of libraries: what it raises becomes one sentence, with the layer's name and class."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import index
from typing import Any, TypeVar

from splitway.errors import ModelError, in_one_line, printable

_MOST_SAID, _MOST_REASON = 300, 400
"""Characters of what a layer raised, and of a library's reason, that are quoted."""
Found = TypeVar("Found")


@contextmanager
def looking_at(layer: Any, what: str = "read") -> Iterator[None]:
    """Turn every exception of a layer or model into a ModelError that names it, and what cannot be done with it.

    The interpreter's own pass, and those that are sentences already.
    """
    try:
        yield
    except (ModelError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a foreign class may raise anything
        raise ModelError(f"{shown(layer)} cannot be {what}: {said(error)}") from error


def tried(ask: Callable[[], Found]) -> Found | None:
    """The answer of a layer to an optional question; None if it fails."""
    try:
        return ask()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None


def shown(layer: Any) -> str:
    """A layer, or a model, as errors name it."""
    what = "model" if hasattr(type(layer), "fit") else "layer"
    return f"{what} {printable(name_of(layer))!r} ({printable(type(layer).__name__)})"


def name_of(layer: Any) -> str:
    """A layer's name: as it says, or else as Keras noted it."""
    said_name = tried(lambda: layer.name)
    if not isinstance(said_name, str):
        said_name = tried(lambda: object.__getattribute__(layer, "__dict__")["name"])
    return str.__str__(said_name) if isinstance(said_name, str) else "unnamed"


def said(error: BaseException) -> str:
    """The message of an exception in one short line; its class if it has no message."""
    text = tried(lambda: in_one_line(error)) or type(error).__name__
    return printable(text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}...")


def reason_of(error: BaseException) -> str:
    """The innermost reason that Keras gives in its message, where it wraps several, in one line."""
    reason = in_one_line(error).rsplit("Exception encountered: ", 1)[-1]
    reason = re.sub(r"^Exception encountered when calling (\S+?)(?:\.call\(\))?\.? ", r"in \1: ", reason)
    reason = re.split(r" ?Arguments received by | ?Call arguments received by ", reason)[0]
    reason = printable(reason).strip() or type(error).__name__
    return reason if len(reason) <= _MOST_REASON else f"{reason[:_MOST_REASON]}…"


def count_of(layer: Any, name: str) -> int | None:
    """A number of things, from 1, that a layer has as an attribute or gives by a method; None if it tells none."""
    value: Any = tried(lambda: getattr(layer, name))
    value = tried(value) if callable(value) else value
    number = None if isinstance(value, bool) else tried(lambda: index(value))
    return number if type(number) is int and 0 < number < 2**31 else None
