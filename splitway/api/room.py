"""The limits of a request to a stage, read from the stages' settings, so that cuts respect them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from splitway.errors import SetupError
from splitway.wire.room import MAX_BODY_BYTES, MAX_REPLY_BYTES, Room


def room_from(environment: Mapping[str, str] = os.environ) -> Room:
    """The limits from the environment, or the defaults. Raises SetupError for one that is not a number."""
    body = _bytes(environment, "SPLITWAY_MAX_BODY_BYTES", MAX_BODY_BYTES)
    return Room(body, _bytes(environment, "SPLITWAY_MAX_REPLY_BYTES", MAX_REPLY_BYTES))


def _bytes(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SetupError(f"{name}={text}: it must be a whole number of bytes, 1 or more")
    return int(text)
