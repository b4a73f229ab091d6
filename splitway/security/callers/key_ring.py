"""API keys in use, as in the current file."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from splitway.errors import SetupError, Unauthorized
from splitway.security.audit import audit
from splitway.security.callers.keys import KeyRecord, key_hash, key_id, read_keys
from splitway.security.callers.principal import Principal
from splitway.state_file import Signature, signature

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
_NOBODYS = "0" * 64
"""Dummy hash for unknown ids, so that the comparison takes constant time."""
_UNKNOWN = "unknown key; ask for a new one"


class KeyRing:
    """The keys of one file, which is looked at again every second.

    Args:
        path: the file.
        clock: monotonic seconds.
        now: the time by which keys expire.

    Raises:
        SetupError: the file cannot be read. Once it could be, a broken or missing one is logged and changes nothing.
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
        is_it = hmac.compare_digest(key_hash(key), _NOBODYS if record is None else record.sha256)
        if record is None or not is_it:
            raise Unauthorized(_UNKNOWN)
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
