"""Authorization of administrators: the administrator's key, or an API key with the scope `admin`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request

from splitway.errors import Forbidden, Unauthorized
from splitway.http.body import plain_headers
from splitway.runtime.settings import StageSettings
from splitway.security.audit import audit
from splitway.security.callers.bearer import KnownSecrets, bearer
from splitway.security.callers.key_ring import KeyRing
from splitway.security.callers.principal import Principal
from splitway.telemetry.ending import outcome_name

_KEY_HOLDER = Principal("the administrator's key", frozenset({"admin"}))
_UNKNOWN = "an unknown caller"


class Administrators:
    """Lets administrators in, and logs their actions and every refusal."""

    def __init__(self, settings: StageSettings) -> None:
        key = "" if settings.admin_key is None else settings.admin_key.get_secret_value()
        self._key = KnownSecrets([key]) if key else None
        self._keys = None if settings.keys_file is None else KeyRing(settings.keys_file, time.monotonic)

    @asynccontextmanager
    async def acting(self, request: Request, action: str, **what: Any) -> AsyncIterator[dict[str, Any]]:
        """Check the caller, then log the result of the action; entries of the given dictionary are logged with it.

        Raises:
            Unauthorized: the request names no key, or an unknown one.
            Forbidden: the caller is no administrator, or there are none here.
        """
        who = _UNKNOWN
        try:
            principal = self._principal(plain_headers(request).get("authorization"))
            who = principal.id
            principal.require("admin")
            yield what
        except BaseException as error:
            audit(action, who, outcome_name(error), **_bounded(what))
            raise
        audit(action, who, "ok", **_bounded(what))

    def _principal(self, header: str | None) -> Principal:
        if self._key is None and self._keys is None:
            raise Forbidden("the repository's routes are closed here: neither SPLITWAY_ADMIN_KEY nor _KEYS_FILE is set")
        given = bearer(header)
        if self._key is not None and self._key.have(given.encode("latin-1")):  # as headers are read
            return _KEY_HOLDER
        if self._keys is None:
            raise Unauthorized("this is not the administrator's key")
        return self._keys.verify(given)


def _bounded(what: dict[str, Any]) -> dict[str, Any]:
    """Names that came from outside, as long as one can be."""
    return {name: value[:80] if isinstance(value, str) else value for name, value in what.items()}
