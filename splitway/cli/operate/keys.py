"""What `splitway keys` does to the file of keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from splitway.cli.console import OUT
from splitway.errors import SetupError
from splitway.security.callers.keys import KeyFile, KeyRecord, change_keys, key_id, make_key
from splitway.security.callers.principal import SCOPES, Scope

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}
_LONGEST_DAYS = 3660
_LIMITS = ("cost/min", "at once")
_WIDEST = 1000
"""Characters of a line: none is broken."""


def create(file: Path, name: str, scopes: Sequence[str], expires: str, **limits: int | None) -> tuple[str, KeyRecord]:
    """Make a key and keep its hash; return both. Its limits are `cost_per_minute` and `concurrency`.

    Raises:
        SetupError: a scope or a time that is none; the file cannot be read or written, and is then as it was.
    """
    if not file.parent.is_dir():
        raise SetupError(f"there is no folder {file.parent} to keep keys in")
    life = _life(expires)
    until = None if life is None else datetime.now(UTC) + life
    key, record = make_key(name, _scopes(scopes), expires=until, **limits)
    change_keys(file, lambda keys: keys.model_copy(update={"keys": (*keys.keys, record)}))
    return key, record


def _scopes(names: Sequence[str]) -> tuple[Scope, ...]:
    if unknown := sorted(set(names) - set(SCOPES)):
        raise SetupError(f"there is no scope {', '.join(unknown)}; choose from {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in names)


def _life(text: str) -> timedelta | None:
    if text == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})([dh])", text)
    life = int(found[1]) * _UNITS[found[2]] if found else timedelta(0)
    if not timedelta(0) < life <= timedelta(days=_LONGEST_DAYS):
        raise SetupError(f"--expires takes days or hours such as 90d or 12h, up to ten years, or never, not {text!r}")
    return life


def revoke(file: Path, id_: str) -> KeyRecord:
    """Take a key out of the file; return what was kept of it. Raises SetupError if there is none of this id."""
    gone: list[KeyRecord] = []

    def without(keys: KeyFile) -> KeyFile:
        gone.extend(key for key in keys.keys if key.id == id_)
        if not gone:
            raise SetupError(f"{file} has no key of that id; {_instead(keys, id_)}")
        return keys.model_copy(update={"keys": tuple(key for key in keys.keys if key.id != id_)})

    if not file.exists():
        raise SetupError(f"there is no file {file}; name it with --file")
    change_keys(file, without)
    return gone[0]


def _instead(keys: KeyFile, given: str) -> str:
    """What to give for an id, where something else was given."""
    if key_id(given):
        return "that is a key itself: give the id within it"
    if ids := ids_of(given, keys.keys):
        return f"of that name there {'is' if len(ids) == 1 else 'are'} {', '.join(ids)}: give the id"
    return "splitway keys list prints them"


def ids_of(name: str, keys: Iterable[KeyRecord]) -> list[str]:
    """The keys of this name, which several may have."""
    return [key.id for key in keys if key.name == name]


def print_table(records: Sequence[KeyRecord]) -> None:
    """Print what is known of the keys, for people: a line for each, however narrow the terminal."""
    has_limits = any(record.cost_per_minute or record.concurrency for record in records)
    table = Table("id", "for", "opens", "made", "good until", *(_LIMITS if has_limits else ()), box=None)
    now = datetime.now(UTC)
    for record in records:
        until = "for ever" if record.expires is None else f"{record.expires:%Y-%m-%d}"
        style = "dim" if record.has_expired(now) else None
        until += " expired" if record.has_expired(now) else ""
        limits = ["" if n is None else str(n) for n in (record.cost_per_minute, record.concurrency)]
        cells = record.id, escape(record.name), ",".join(record.scopes), f"{record.created:%Y-%m-%d}", until
        table.add_row(*cells, *(limits if has_limits else ()), style=style)
    table.width = Measurement.get(OUT, OUT.options.update(width=_WIDEST), table).maximum
    OUT.print(table)


def known(record: KeyRecord) -> dict[str, object]:
    """What is known of a key, for programs; not its hash."""
    return record.model_dump(mode="json", exclude={"sha256"}) | {"expired": record.has_expired(datetime.now(UTC))}


def print_json(records: Sequence[KeyRecord]) -> None:
    """Print what is known of the keys, for programs: an object a line."""
    for record in records:
        print(orjson.dumps(known(record)).decode())
