"""What files that are kept have in common: a newer Splitway may have written them.

A field that this version does not know is ignored, named once in the log, and still there when the file is written
again. Only a file of another format is refused. So an older process goes on serving while newer ones are rolled out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from splitway.errors import printable

FORMAT = 1
"""The one format of manifests and releases that this version reads and writes."""
_log = logging.getLogger(__name__)
_MAX_NAMED = 200
"""Characters of a name in a file that are shown."""
_MOST_NAMED = 20
"""Unknown fields of a file that are named."""
_MOST_FILES = 1024
_looked_through: dict[str, int] = {}
"""Files by path, with the hash of what they held: stages read the same manifests every few seconds."""
_unnamed: ContextVar[bool] = ContextVar("unnamed", default=False)


class OtherFormat(ValueError):
    """A file is of a format that this version does not read."""


def _check_format(found: object) -> object:
    if found != FORMAT or isinstance(found, bool):
        said = printable(repr(found)[:20])
        raise ValueError(f"it is of format {said}, and this version reads format {FORMAT}: use a newer Splitway")
    return found


Format = Annotated[int, BeforeValidator(_check_format)]
"""The field `format` of a whole file; files from before there were formats have none, and are of the first."""


class StoredPart(BaseModel):
    """A file, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="allow")


Stored = TypeVar("Stored", bound=StoredPart)


def read_stored(kind: type[Stored], content: bytes, path: Path, what: str) -> Stored:
    """Parse a file's JSON; its path, and what it should be, with its article, are for log and error.

    Raises ValueError, in one line: the first field that is wrong, or that the file is of another format.
    """
    try:
        found = kind.model_validate_json(content)
    except ValidationError as error:
        where, fault = _first_fault(error)
        kind_of_error = OtherFormat if where == "format" else ValueError
        raise kind_of_error(f"{path} is not {what}: {where}: {fault}") from error
    _name_unknown_fields(found, str(path), hash(content))
    return found


@contextmanager
def unnamed() -> Iterator[None]:
    """Log no unknown field of what this thread reads meanwhile: the process that uses the file names them."""
    before = _unnamed.set(True)
    try:
        yield
    finally:
        _unnamed.reset(before)


def unknown_fields(found: StoredPart) -> str:
    """The fields of a file that this version does not know, in one line; empty if there are none."""
    return printable(", ".join(islice(_unknown_fields(found), _MOST_NAMED))[:_MAX_NAMED])


def _first_fault(error: ValidationError) -> tuple[str, str]:
    """Field and fault; the format, where it is wrong: nothing else in the file can be judged then."""
    faults = error.errors(include_input=False, include_url=False)
    fault = next((each for each in faults if each["loc"] == ("format",)), faults[0])
    where = printable(".".join(str(part) for part in fault["loc"])[:_MAX_NAMED]) or "the whole file"
    return where, fault["msg"].removeprefix("Value error, ")


def _unknown_fields(part: StoredPart, where: str = "") -> Iterator[str]:
    """The names of fields that this version does not know, with where they stand; one for all parts of a kind."""
    yield from (f"{where}{name}" for name in part.model_extra or ())
    for name in type(part).model_fields:
        value = getattr(part, name)
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        found = (_unknown_fields(each, f"{where}{name}.") for each in inside if isinstance(each, StoredPart))
        yield from dict.fromkeys(field for fields in found for field in fields)


def _name_unknown_fields(found: StoredPart, path: str, content: int) -> None:
    """Log the unknown fields of a file once, however often the same content is read."""
    if _unnamed.get() or _looked_through.get(path) == content:
        return
    if len(_looked_through) >= _MOST_FILES:
        _looked_through.clear()
    _looked_through[path] = content
    if listed := unknown_fields(found):
        _log.warning("%s has fields that this version of Splitway does not know, and ignores: %s", path, listed)
