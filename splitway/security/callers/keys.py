"""API keys at rest: a file with the hash of each, what it opens and until when. A key itself is shown once and kept
nowhere.

A key is `splitway_<id>_<secret>`: the id is public and stands in logs, the secret is 256 random bits, of which a plain
SHA-256 can be kept: there is nothing to guess from.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from splitway.errors import SetupError
from splitway.security.callers.principal import Principal, Scope
from splitway.state_file import locked, replace_file

KEY_PREFIX = "splitway_"
_ID = r"[0-9a-f]{10}"
_KEY = re.compile(rf"{KEY_PREFIX}({_ID})_[A-Za-z0-9_-]{{43}}")
_SECRET_BYTES = 32
MAX_KEYS = 10_000


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
        raise SetupError(f"the key cannot be created: {_first(error)}") from error


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
        raise SetupError(f"{path} is no file of keys: {_first(error)}") from error


def change_keys(path: Path, change: Callable[[KeyFile], KeyFile]) -> KeyFile:
    """Read, change and replace the file under its lock; create it if it is missing.

    Raises:
        SetupError: the file cannot be read or written; what the change raises. The file is then as it was.
    """
    with locked(path):
        keys = change(read_keys(path) if path.exists() else KeyFile())
        replace_file(path, KeyFile.model_validate(keys.model_dump()).model_dump_json(indent=2) + "\n")
        return keys


def _first(error: ValidationError) -> str:
    """The first fault and its place; never the value, which may be secret."""
    first = error.errors(include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the whole"
    return f"{where}: {first['msg']}"
