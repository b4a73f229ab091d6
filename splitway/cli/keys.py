"""What `splitway keys` does to the file of keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from rich.markup import escape
from rich.table import Table

from splitway.cli.console import OUT
from splitway.errors import SetupError
from splitway.security.keys import KeyFile, KeyRecord, change_keys, key_id, make_key, read_keys
from splitway.security.principal import SCOPES, Scope

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}
_LONGEST_DAYS = 3660


def create(
    file: Path,
    name: str,
    scopes: Sequence[str],
    expires: str,
    cost_per_minute: int | None = None,
    concurrency: int | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key and keep its hash; return both.

    Raises:
        SetupError: a scope or a time that is none; the file cannot be read or written, and is then as it was.
    """
    if not file.parent.is_dir():
        raise SetupError(f"there is no folder {file.parent} to keep keys in")
    life = _life(expires)
    until = None if life is None else datetime.now(UTC) + life
    limits = {"cost_per_minute": cost_per_minute, "concurrency": concurrency}
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


def listed(file: Path) -> tuple[KeyRecord, ...]:
    """The keys, the oldest first. Raises SetupError if the file cannot be read."""
    return read_keys(file).keys


def revoke(file: Path, id_: str) -> KeyRecord:
    """Take a key out of the file; return what was kept of it. Raises SetupError if there is none of this id."""
    gone: list[KeyRecord] = []

    def without(keys: KeyFile) -> KeyFile:
        gone.extend(key for key in keys.keys if key.id == id_)
        if not gone:
            whole = "; that is a key itself: give the id within it" if key_id(id_) else ""
            raise SetupError(f"{file} has no key of that id{whole}; splitway keys list prints them")
        return keys.model_copy(update={"keys": tuple(key for key in keys.keys if key.id != id_)})

    if not file.exists():
        raise SetupError(f"there is no file {file}; name it with --file")
    change_keys(file, without)
    return gone[0]


def print_table(records: Sequence[KeyRecord]) -> None:
    """Print what is known of the keys, for people."""
    table = Table(box=None)
    for heading in ("id", "for", "opens", "made", "good until", "cost a minute", "at once"):
        table.add_column(heading)
    now = datetime.now(UTC)
    for record in records:
        until = "for ever" if record.expires is None else f"{record.expires:%Y-%m-%d %H:%M}"
        style = "dim" if record.has_expired(now) else None
        until += " (expired)" if record.has_expired(now) else ""
        limits = ["" if n is None else str(n) for n in (record.cost_per_minute, record.concurrency)]
        made = f"{record.created:%Y-%m-%d %H:%M}"
        table.add_row(record.id, escape(record.name), ", ".join(record.scopes), made, until, *limits, style=style)
    OUT.print(table)


def print_json(records: Sequence[KeyRecord]) -> None:
    """Print what is known of the keys, for programs; not their hashes."""
    now = datetime.now(UTC)
    for record in records:
        content = record.model_dump(mode="json", exclude={"sha256"}) | {"expired": record.has_expired(now)}
        print(orjson.dumps(content).decode())
