"""The folder of certificates of a pipeline on this machine, at the real time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from splitway.security.identities.certificates import Certificates

_SETTLE_S = 5.0
"""Longer than a running service takes to read its files again."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def certificates_in(folder: Path) -> Certificates:
    """What is in a folder, at the real time."""
    return Certificates(folder, utc_now, lambda: time.sleep(_SETTLE_S))
