"""A gateway of this machine is trusted for its one certificate, whatever names that has."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.security.identities.authority import Authority, certificate_pem
from splitway.security.identities.caller_tls import CallerCertificate, CallerTls
from splitway.security.identities.pinned import pinned_context


def _shake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Shake hands in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [server.wrap_bio(to_server, to_client, server_side=True), client.wrap_bio(to_client, to_server)]
    for _ in range(4):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.fixture
def files(tmp_path: Path) -> CallerTls:
    """A certificate that an authority issued, with that authority's behind it, and its key."""
    _write(tmp_path, Authority.make(datetime.now(UTC)))
    return CallerTls(tmp_path / "cert.pem", tmp_path / "key.pem")


def _write(folder: Path, authority: Authority) -> None:
    pem = authority.issue("classifier", timedelta(days=1), datetime.now(UTC))
    key, _, certificate = pem.partition(b"-----BEGIN CERTIFICATE-----")
    own = b"-----BEGIN CERTIFICATE-----" + certificate
    (folder / "key.pem").write_bytes(key)
    (folder / "cert.pem").write_bytes(own + certificate_pem(authority.certificate))


def test_that_certificate_is_taken_and_no_other_of_its_authority(files: CallerTls, tmp_path: Path) -> None:
    authority = Authority.make(datetime.now(UTC))
    _write(tmp_path, authority)
    client = pinned_context(files.certificate)
    _shake(CallerCertificate(files).server_context(), client)
    _write(tmp_path, authority)
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake(CallerCertificate(files).server_context(), client)


def test_files_that_are_none_are_one_line(files: CallerTls, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="are not a certificate and its key"):
        CallerCertificate(CallerTls(files.certificate, files.certificate))
    with pytest.raises(SetupError, match=r"cannot read .*none\.pem"):
        CallerCertificate(CallerTls(files.certificate, tmp_path / "none.pem"))
    with pytest.raises(SetupError, match="holds no certificate in PEM"):
        pinned_context(files.key)
    with pytest.raises(SetupError, match=r"cannot read .*none\.pem: No such file"):
        pinned_context(tmp_path / "none.pem")
