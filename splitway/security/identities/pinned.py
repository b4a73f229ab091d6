"""TLS towards a gateway of this machine: it is trusted for the one certificate that its files hold."""

from __future__ import annotations

import ssl
from pathlib import Path

from splitway.errors import SetupError

_BEGINS, _ENDS = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def pinned_context(path: Path) -> ssl.SSLContext:
    """A context that takes the first certificate of a PEM file, whatever names it has, and no other.

    Raises SetupError if the file cannot be read or holds none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # there is one certificate to be shown, and its names are for other callers
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be signed by itself
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        begin = text.index(_BEGINS)
        context.load_verify_locations(cadata=text[begin : text.index(_ENDS, begin) + len(_ENDS)])
    except OSError as error:  # ssl's own among them
        raise SetupError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise SetupError(f"{path} holds no certificate in PEM") from error
    return context
