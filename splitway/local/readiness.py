"""Asks a gateway on this machine whether its pipeline is ready."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from splitway.errors import SetupError
from splitway.security.identities.pinned import pinned_context

_TIMEOUT_S = 2.0


def why_not_ready(url: str, certificate: Path | None) -> str | None:
    """Which stage is missing, as the gateway says, or that it does not answer; None if all are ready.

    It is asked without a key. `certificate` is the one that it shows its callers; None without TLS.
    """
    try:
        reply = httpx.get(f"{url}/readyz", timeout=_TIMEOUT_S, trust_env=False, verify=trust_in(certificate))
        return None if reply.status_code == 200 else str(reply.json()["reason"])
    except (httpx.HTTPError, httpx.InvalidURL, SetupError, ValueError, KeyError, TypeError):
        return "the gateway does not answer"


def trust_in(certificate: Path | None) -> ssl.SSLContext | bool:
    """By what a gateway is known. Raises SetupError for a certificate that cannot be read."""
    return True if certificate is None else pinned_context(certificate)
