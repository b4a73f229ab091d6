"""Whose bundles a process runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitway.runtime.settings import StageSettings

if TYPE_CHECKING:
    from splitway.security.signing import TrustedKeys


def trusted_keys(settings: StageSettings) -> TrustedKeys | None:
    """The keys of which one must have signed a bundle; None where bundles need no signature.

    Raises:
        SetupError: the file that is set holds no public key.
    """
    if settings.bundle_key is None:
        return None
    from splitway.security.signing import read_trusted_keys  # noqa: PLC0415 - cryptography costs 11 MB and 40 ms

    return read_trusted_keys(settings.bundle_key)
