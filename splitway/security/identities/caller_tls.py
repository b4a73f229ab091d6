"""TLS towards callers: the gateway shows them a certificate, and asks for none."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from splitway.errors import SetupError
from splitway.security.identities.kept_context import KeptContext

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CallerTls:
    """Files of the certificate that callers of the gateway are shown, with its chain, and of its key."""

    certificate: Path
    key: Path


class CallerCertificate(KeptContext):
    """The certificate and key of those files, as they were read last. Raises SetupError as `KeptContext`."""

    def __init__(self, files: CallerTls) -> None:
        self._tls = files
        super().__init__((files.certificate, files.key))

    def _server(self) -> ssl.SSLContext:
        return self._read

    def _load(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._tls.certificate, self._tls.key, password="")  # or OpenSSL would ask for one
        except OSError as error:  # ssl's own among them
            raise SetupError(
                f"{self._tls.certificate} and {self._tls.key} are not a certificate and its key in PEM: {error}"
            ) from error
        self._read = context

    def _say_changed(self, *, own: bool) -> None:
        _log.info("callers are shown a new certificate")

    def _warn(self) -> None:
        """Nothing: what renews it watches its age."""
