"""API keys: a file with the hash of each, what it opens and until when; and those in use, as in the current file. A key
itself is shown once and kept nowhere.

A key is `splitway_<id>_<secret>`: the id is public and stands in logs, the secret is 256 random bits, of which a plain
SHA-256 can be kept: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from splitway.errors import SetupError, Unauthorized, first_mistake
from splitway.security.audit import audit
from splitway.security.callers.principal import Principal, Scope
from splitway.state_file import Signature, locked, replace_file, signature

_log = logging.getLogger(__name__)
KEY_PREFIX = "splitway_"
_ID = r"[0-9a-f]{10}"
_KEY = re.compile(rf"{KEY_PREFIX}({_ID})_[A-Za-z0-9_-]{{43}}")
_SECRET_BYTES = 32
MAX_KEYS = 10_000
_LOOK_EVERY_S = 1.0
_NO_ONES = "0" * 64
"""Dummy hash for unknown ids, so that the comparison takes constant time."""


class _KeysPart(BaseModel):
    """Unlike other kept files: a field that says what a key may not do must not be ignored by a version without it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyRecord(_KeysPart):
    """What is kept of one key."""

    id: str = Field(pattern=rf"^{_ID}$")
    name: str = Field(min_length=1, max_length=80)
    """Whose it is, or what for."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the whole key."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    cost_per_minute: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1)] | None = None

    @field_validator("name")
    @classmethod
    def _can_be_shown(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("a name is text that can be shown")
        return name

    @property
    def principal(self) -> Principal:
        return Principal(self.id, frozenset(self.scopes), self.cost_per_minute, self.concurrency)

    def has_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now


class KeyFile(_KeysPart):
    """The whole file."""

    format: int = Field(default=1, ge=1, le=1)
    keys: Annotated[tuple[KeyRecord, ...], Field(max_length=MAX_KEYS)] = ()

    @field_validator("keys")
    @classmethod
    def _each_id_once(cls, keys: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        if len({key.id for key in keys}) != len(keys):
            raise ValueError("two keys have the same id")
        return keys


def key_id(key: str) -> str | None:
    """The id within a key; None if it is not a key."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def key_hash(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def make_key(name: str, scopes: tuple[Scope, ...], **more: object) -> tuple[str, KeyRecord]:
    """Make a key; return the key and its record. Raises SetupError if the values are not valid."""
    id_ = secrets.token_hex(5)
    key = f"{KEY_PREFIX}{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    content = {"id": id_, "name": name, "sha256": key_hash(key), "scopes": scopes, "created": datetime.now(UTC), **more}
    try:
        return key, KeyRecord.model_validate(content)
    except ValidationError as error:
        raise SetupError(f"the key cannot be created: {first_mistake(error)}") from error


def read_keys(path: Path) -> KeyFile:
    """Read a file of keys. Raises SetupError naming the file and what is wrong."""
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise SetupError(f"there is no file {path}; splitway keys create makes it") from error
    except PermissionError as error:
        open_it = "let its user read the file and its folder, which hold hashes alone (chmod a+rX)"
        raise SetupError(f"the service may not read {path}: {open_it}") from error
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        raise SetupError(f"{path} is no file of keys: {first_mistake(error)}") from error


def change_keys(path: Path, change: Callable[[KeyFile], KeyFile]) -> KeyFile:
    """Read, change and replace the file under its lock; create it if it is missing.

    Raises:
        SetupError: the file cannot be read or written; what the change raises. The file is then as it was.
    """
    with locked(path):
        keys = change(read_keys(path) if path.exists() else KeyFile())
        replace_file(path, KeyFile.model_validate(keys.model_dump()).model_dump_json(indent=2) + "\n")
        return keys


class KeyRing:
    """The keys of one file, which is looked at again every second of a monotonic clock; `now` is the time for expiry.

    Raises SetupError where the file cannot be read. Once it could be, a broken or missing one is logged and changes
    nothing.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._path = path
        self._clock = clock
        self._now = now
        self._keys = {key.id: key for key in read_keys(path).keys}
        self._seen: Signature | None = None  # the first look reads it again: it may have changed meanwhile
        self._looked_s = clock()
        self._problem: str | None = None

    def verify(self, key: str) -> Principal:
        """Return whose key this is. Raises Unauthorized for one that is not known, revoked or expired."""
        if self._clock() - self._looked_s >= _LOOK_EVERY_S:
            self._look()
        record = self._keys.get(key_id(key) or "")
        is_it = hmac.compare_digest(key_hash(key), _NO_ONES if record is None else record.sha256)
        if record is None or not is_it:
            raise Unauthorized("unknown key; ask for a new one")
        if record.has_expired(self._now()):
            raise Unauthorized(f"key {record.id} has expired; ask for a new one")
        return record.principal

    def _look(self) -> None:
        """Take in what has changed in the file."""
        self._looked_s = self._clock()
        try:
            found = signature(self._path)
            if found == self._seen:
                return
            self._take_in({key.id: key for key in read_keys(self._path).keys})
            self._seen, self._problem = found, None
        except (OSError, SetupError) as error:
            self._seen = None
            self._report(error.detail if isinstance(error, SetupError) else f"cannot read {self._path}")

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            _log.error("%s; the keys that were in it stay in force", problem)
        self._problem = problem

    def _take_in(self, keys: dict[str, KeyRecord]) -> None:
        before, self._keys = self._keys, keys
        added, gone = sorted(keys.keys() - before.keys()), sorted(before.keys() - keys.keys())
        changed = sorted(id_ for id_ in keys.keys() & before.keys() if keys[id_] != before[id_])
        if added or gone or changed:
            audit("keys.changed", "the owner of the file", "ok", added=added, gone=gone, changed=changed)
