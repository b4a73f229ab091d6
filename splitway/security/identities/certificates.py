"""The folders of a private certificate authority and of the services that it vouches for.

    <folder>/ca/authority.pem        the authority's key and certificate: its holder can certify any service
    <folder>/ca/previous.pem         the certificate of the authority before it, while that is trusted still
    <folder>/<service>/identity.pem  a service's key and certificate
    <folder>/<service>/trust.pem     the authorities it trusts

A service is given its own folder and no other. Every file is replaced in one step, and running services read it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from splitway.errors import SetupError
from splitway.security.identities.authority import Authority, certificate_pem, has_issued
from splitway.security.identities.service_names import IDENTITY, TRUST, check_name, service_of
from splitway.state_file import locked, replace_file

LIFE = timedelta(days=7)
_SETTLE_S = 5.0
"""Longer than a running service takes to read its files again."""
_LONGEST_DAYS = 397
_CA, _AUTHORITY, _PREVIOUS = "ca", "authority.pem", "previous.pem"
_RENEW_SHARE = 1 / 3
"""Of a certificate's life; when no more of it is left, it is due to be renewed."""


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Certified:
    """A service's certificate: name and validity."""

    service: str
    starts: datetime
    ends: datetime
    is_of_old_authority: bool = False

    def is_due(self, now: datetime, share: float = _RENEW_SHARE) -> bool:
        """Whether no more than this share of its life is left."""
        return self.ends - now <= (self.ends - self.starts) * share

    def has_expired(self, now: datetime) -> bool:
        return now >= self.ends


@dataclass(frozen=True)
class Certificates:
    """What there is in a folder, and what can be done about it.

    Args:
        folder: holds all others.
        now: the time.
        settle: waits until running services have read their files again.
    """

    folder: Path
    now: Callable[[], datetime] = utc_now
    settle: Callable[[], None] = lambda: time.sleep(_SETTLE_S)

    def create(self, services: Iterable[str], life: timedelta = LIFE, *, new_authority: bool = False) -> None:
        """Give each service a new key and certificate, and every existing service the file of trusted authorities.

        Args:
            services: the ones to certify; with a new authority those that are there already as well.
            life: how long the certificates are good for.
            new_authority: make one. The previous one stays trusted, and running services trust the new one before
                any service uses a certificate of it.

        Raises:
            SetupError: a name that is none, or files that cannot be read or written; what is there stays as it was.
        """
        services = list(dict.fromkeys(services))
        for service in services:
            check_name(service)
        check_life(life)
        _make_folder(self.folder / _CA)
        with locked(self.folder / _CA / _AUTHORITY):
            known = self.services()
            authority = self._replace_authority(known) if new_authority else self._authority()
            if authority is None and known:
                raise SetupError(
                    f"{self.folder / _CA / _AUTHORITY} is gone, and {', '.join(known)} trust only it: restore it, "
                    "or make a new authority with --new-ca"
                )
            authority = authority or self._replace_authority(known)
            trusted = [authority.certificate, *self._previous()]
            for service in (*known, *services):
                self._write_trust(service, trusted)
            if new_authority and known:
                self.settle()
            for service in dict.fromkeys((*(known if new_authority else ()), *services)):
                _write(self.folder / service / IDENTITY, authority.issue(service, life, self.now()), 0o600)

    def renew(self, services: Iterable[str], life: timedelta = LIFE) -> list[str]:
        """Certify those services whose certificate is missing or due; return them. Raises SetupError as `create`."""
        found = {each.service: each for each in self.listed()}
        due = [name for name in services if name not in found or found[name].is_due(self.now())]
        if due:
            self.create(due, life)
        return due

    def forget_previous(self) -> None:
        """Trust the authority before the present one no more.

        Raises:
            SetupError: a service shows a certificate of that one still, or there is none.
        """
        if not (self.folder / _CA).is_dir():
            raise SetupError(f"{self.folder} has no authority; make one with: splitway certs create")
        with locked(self.folder / _CA / _AUTHORITY):
            authority = self._authority()
            if authority is None or not self._previous():
                raise SetupError(f"{self.folder / _CA} has no authority before the present one")
            if late := [each.service for each in self.listed() if each.is_of_old_authority]:
                raise SetupError(f"{', '.join(late)}: still certified by the old authority; renew first")
            for service in self.services():
                self._write_trust(service, [authority.certificate])
            (self.folder / _CA / _PREVIOUS).unlink()

    def services(self) -> list[str]:
        """Those that have a folder with a certificate."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{IDENTITY}"))

    def listed(self) -> list[Certified]:
        """Every service's certificate. Raises SetupError for one that cannot be read."""
        authority = self._authority()
        return [self._certified(service, authority) for service in self.services()]

    def looked_through(self) -> dict[str, Certified | SetupError]:
        """Every service's certificate, or what is wrong with it. Raises SetupError if the authority cannot be read."""
        authority = self._authority()
        found: dict[str, Certified | SetupError] = {}
        for service in self.services():
            try:
                found[service] = self._certified(service, authority)
            except SetupError as error:
                found[service] = error
        return found

    def _certified(self, service: str, authority: Authority | None) -> Certified:
        path = self.folder / service / IDENTITY
        certificate = read_certificates(path)[0]
        of_old = authority is not None and not has_issued(authority.certificate, certificate)
        return certified(certificate, path, of_old_authority=of_old)

    def _authority(self) -> Authority | None:
        path = self.folder / _CA / _AUTHORITY
        try:
            return Authority.read(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SetupError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise SetupError(f"{path} is no authority: bring it back, or make a new one with --new-ca") from error

    def _previous(self) -> list[x509.Certificate]:
        path = self.folder / _CA / _PREVIOUS
        return read_certificates(path) if path.exists() else []

    def _replace_authority(self, known: Sequence[str]) -> Authority:
        """Make an authority. Of the old one its certificate alone is kept: if it is gone, as a service trusts it."""
        try:
            old = self._authority()
        except SetupError:
            old = None
        trusted = [old.certificate] if old else [c for name in known for c in self._trusted_by(name)]
        if trusted:
            _write(self.folder / _CA / _PREVIOUS, _pem_of(trusted), 0o644)
        new = Authority.make(self.now())
        _write(self.folder / _CA / _AUTHORITY, new.pem, 0o600)
        return new

    def _trusted_by(self, service: str) -> list[x509.Certificate]:
        path = self.folder / service / TRUST
        return read_certificates(path) if path.exists() else []

    def _write_trust(self, service: str, trusted: Sequence[x509.Certificate]) -> None:
        pem = _pem_of(trusted)
        path = self.folder / service / TRUST
        if not path.exists() or path.read_bytes() != pem:
            _write(path, pem, 0o644)


def check_life(life: timedelta) -> None:
    """Raise SetupError for a length of time that no certificate may be good for."""
    if not timedelta(minutes=1) <= life <= timedelta(days=_LONGEST_DAYS):
        raise SetupError(f"--days takes a number up to {_LONGEST_DAYS}, such as 7 or 0.5")


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, one at least. Raises SetupError if it has none."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SetupError(f"{path} holds no certificate; splitway certs create writes one") from error


def certified(certificate: x509.Certificate, path: Path, *, of_old_authority: bool = False) -> Certified:
    """What a certificate says. Raises SetupError if it names no service, or several."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    service = service_of(uris[0]) if len(uris) == 1 else None
    if service is None:
        raise SetupError(f"{path} is no certificate of a service of Splitway; splitway certs create writes one")
    return Certified(service, certificate.not_valid_before_utc, certificate.not_valid_after_utc, of_old_authority)


def _pem_of(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(dict.fromkeys(map(certificate_pem, certificates)))


def _write(path: Path, content: bytes, mode: int) -> None:
    _make_folder(path.parent)
    replace_file(path, content, mode)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"cannot make the folder {path}: {error.strerror}") from error
