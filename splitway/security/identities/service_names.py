"""What services are called in their certificates, and the files of these. Apart, for reading a certificate takes
`cryptography`: 10 MB and 40 ms that a service without TLS does without.
"""

from __future__ import annotations

import re

from splitway.errors import SetupError
from splitway.names import NAME

IDENTITY, TRUST = "identity.pem", "trust.pem"
"""In a service's folder: its own key and certificate, and the authorities it trusts."""
_NAME = re.compile(NAME)
_URI = "spiffe://splitway/"


def uri_of(service: str) -> str:
    """What stands for a service in its certificate."""
    return _URI + service


def service_of(uri: str) -> str | None:
    """The service that a certificate's URI names; None if it names none of ours."""
    name = uri.removeprefix(_URI)
    return name if uri.startswith(_URI) and _NAME.fullmatch(name) else None


def check_name(service: str) -> None:
    """Raise SetupError for what is no name of a service."""
    if not _NAME.fullmatch(service) or service == "ca":
        raise SetupError(f"{service[:80]!r} is not a valid service name; use one such as gateway, classifier or body_1")
