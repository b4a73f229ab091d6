"""A private certificate authority: it certifies the services' identities. Services trust no other authority.

A service's name stands in its certificate as `spiffe://splitway/<service>`, and nowhere else that counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from splitway.names import BODY_NAME, EXTRACTOR, GATEWAY, HEADS
from splitway.security.identities.service_names import uri_of

_SERVERS = re.compile(f"{EXTRACTOR}|{HEADS}|{BODY_NAME}")
"""Services that only receive calls. A service of any other name may also make calls."""
_LIFE = timedelta(days=5 * 365)
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Authority:
    """The authority's own certificate and the key that signs the others."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, now: datetime) -> Authority:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        serial = x509.random_serial_number()
        name = _named(f"Splitway services {serial % 16**8:08x}")
        builder = _certificate(name, name, key, serial, now, now + _LIFE)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def read(cls, pem: bytes) -> Authority:
        """From what `pem` wrote. Raises ValueError for what is not that."""
        certificate, key = x509.load_pem_x509_certificate(pem), serialization.load_pem_private_key(pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise ValueError("the key is not the certificate's")
        return cls(certificate, key)

    @property
    def pem(self) -> bytes:
        """Key and certificate."""
        return _key_pem(self.key) + certificate_pem(self.certificate)

    def issue(self, service: str, life: timedelta, now: datetime) -> bytes:
        """Key and certificate of a service, as PEM; good for `life`, or as long as the authority if that is shorter."""
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(now + life, self.certificate.not_valid_after_utc)
        serial = x509.random_serial_number()
        builder = _certificate(_named(service), self.certificate.subject, key, serial, now, ends)
        alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri_of(service))])
        builder = builder.add_extension(alternative, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage("digital_signature"), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(_purposes(service)), critical=False)
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
        certificate = builder.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())
        return _key_pem(key) + certificate_pem(certificate)


def has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether one certificate was signed by the other's key."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    starts: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), serial)
    builder = builder.not_valid_before(starts - _CLOCKS_DIFFER_BY).not_valid_after(ends)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})


def _purposes(service: str) -> list[x509.ObjectIdentifier]:
    if service == GATEWAY:
        return [ExtendedKeyUsageOID.CLIENT_AUTH]
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    return server if _SERVERS.fullmatch(service) else [*server, ExtendedKeyUsageOID.CLIENT_AUTH]


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())
