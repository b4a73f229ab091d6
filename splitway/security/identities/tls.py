"""Mutual TLS 1.3 between the services: a service's own certificate, and its peers'."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from splitway.errors import SetupError
from splitway.names import GATEWAY
from splitway.security.identities.kept_context import Clock, KeptContext
from splitway.security.identities.service_names import IDENTITY, TRUST, service_of

if TYPE_CHECKING:
    from splitway.security.identities.certificates import Certified

_log = logging.getLogger(__name__)
_WARN_SHARE = 1 / 4
"""Of a certificate's life: with less left, its renewal has failed."""
_WARN_AGAIN_S = 3600.0
Now = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Identity(KeptContext):
    """A service's own certificate, and the authorities it trusts; read again as `KeptContext` does.

    Args:
        folder: as `splitway certs create` writes it for one service.
        service: whose it must be.
        clock: seconds, monotonic.
        now: the time.

    Raises:
        SetupError: the folder has no certificate, or another service's.
    """

    def __init__(self, folder: Path, service: str, clock: Clock = time.monotonic, now: Now = _utc_now) -> None:
        self._folder = folder
        self._service = service
        self._now = now
        self._warned_s = -_WARN_AGAIN_S
        super().__init__((folder / IDENTITY, folder / TRUST), "splitway certs create", clock)
        self._warn()

    def admits(self, peer: str | None) -> bool:
        """The gateway alone."""
        return peer == GATEWAY

    def _say_changed(self, *, own: bool) -> None:
        if own:
            _log.info("a new certificate, good until %s", _date(self.certificate.ends))
        else:
            _log.info("the trusted certificates have changed; this service's own certificate is unchanged")

    def _warn(self) -> None:
        """Say once an hour that the certificate is about to expire, or has."""
        now, own = self._now(), self.certificate
        if not own.is_due(now, _WARN_SHARE) or self._clock() - self._warned_s < _WARN_AGAIN_S:
            return
        self._warned_s = self._clock()
        if own.has_expired(now):
            _log.error("this service's certificate has expired %s: no service accepts it any more", _date(own.ends))
        else:
            _log.warning("this service's certificate expires %s: renew it (splitway certs create)", _date(own.ends))

    def _server(self) -> ssl.SSLContext:
        return self._server_context

    def _load(self) -> None:
        """Read the files. Raises SetupError, and changes nothing then."""
        from splitway.security.identities.certificates import certified, read_certificates  # noqa: PLC0415 - loads cryptography

        path = self._folder / IDENTITY
        own = certified(read_certificates(path)[0], path)
        if own.service != self._service:
            raise SetupError(f"{path} is the certificate of {own.service}, and this is {self._service}")
        server, client = self._context(ssl.PROTOCOL_TLS_SERVER), self._context(ssl.PROTOCOL_TLS_CLIENT)
        self.certificate: Certified = own
        """The service's own, as it was read last."""
        self._server_context = server
        self.client_context = client
        """The context for connections; check the peer with `peer_service`."""

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.check_hostname = False  # a service is who its certificate says, wherever it runs
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if protocol == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # a session that is resumed would outlive the certificate that it began with
        try:
            context.load_cert_chain(self._folder / IDENTITY, password="")  # or OpenSSL would ask for one
            context.load_verify_locations(self._folder / TRUST)
        except OSError as error:  # ssl's own among them
            raise SetupError(
                f"{self._folder} holds a key and certificates that do not belong together: {error}"
            ) from error
        return context


def peer_service(connection: ssl.SSLObject | None) -> str | None:
    """Which service is at the other end; None if it has shown no certificate of one."""
    certificate = connection.getpeercert() if connection is not None else None
    names = certificate.get("subjectAltName", ()) if certificate else ()
    if not isinstance(names, tuple) or len(names) != 1:
        return None
    kind, uri = names[0]
    return service_of(str(uri)) if kind == "URI" else None


def _date(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
