"""Signatures of bundles: Ed25519 over the manifest, which lists every other file with its SHA-256.

What is signed is `splitway bundle v1`, a line feed and the manifest's bytes, so that a signature made for anything else
never fits. Keys are PEM files, PKCS #8 and SubjectPublicKeyInfo, as `openssl genpkey -algorithm ed25519` writes them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import Field, ValidationError

from splitway.errors import BundleError, SetupError
from splitway.stored import StoredPart

DOMAIN = b"splitway bundle v1\n"
"""Stands before what is signed."""
PUBLIC_SUFFIX = ".pub.pem"
MAX_SIGNATURES_BYTES = 64 * 1024
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)
KeyId = Annotated[str, Field(pattern=r"^ed25519:[0-9a-f]{16}$")]


class Signature(StoredPart):
    """One key's."""

    key: KeyId
    algorithm: Literal["ed25519"] = "ed25519"
    signature: str = Field(max_length=88)
    """In base64."""


class Signatures(StoredPart):
    """What lies beside a manifest: one signature for each key."""

    signatures: tuple[Signature, ...] = Field(max_length=16)

    @classmethod
    def read(cls, content: bytes) -> Signatures:
        """Raises BundleError for anything else than `to_json` wrote."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise BundleError(f"its signatures cannot be read: {error.errors()[0]['msg']}") from error

    def to_json(self) -> str:
        return json.dumps(self.model_dump(), indent=2) + "\n"


class SigningKey:
    """The private half, for the machine that makes bundles and for no other."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.id = key_id(key.public_key())

    @property
    def public(self) -> TrustedKeys:
        """What checks what this key signs."""
        return TrustedKeys({self.id: self._key.public_key()})

    def sign(self, manifest: bytes, others: Signatures | None = None) -> Signatures:
        """Sign a manifest's bytes. Other keys' signatures are kept, one of this key's own is replaced."""
        kept = () if others is None else tuple(each for each in others.signatures if each.key != self.id)
        made = base64.b64encode(self._key.sign(DOMAIN + manifest)).decode()
        return Signatures(signatures=(*kept, Signature(key=self.id, signature=made)))


class TrustedKeys:
    """The public halves whose signatures count; one of them is enough."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = dict(keys)

    @property
    def ids(self) -> list[str]:
        return list(self._keys)

    def check(self, manifest: bytes, signatures: bytes | None) -> str:
        """Return the id of the first of the keys that has signed these bytes.

        Args:
            manifest: as it lies in the bundle, not parsed.
            signatures: what lies beside it; None where nothing does.

        Raises:
            BundleError: none has.
        """
        if signatures is None:
            raise BundleError("it is not signed")
        known = [each for each in Signatures.read(signatures).signatures if each.key in self._keys]
        if not known:
            raise BundleError(f"it is signed by none of the trusted keys, {', '.join(self._keys)}")
        for each in known:
            if self._fits(each, manifest):
                return each.key
        raise BundleError(f"its signature by {known[0].key} does not match its manifest")

    def _fits(self, signature: Signature, manifest: bytes) -> bool:
        try:
            self._keys[signature.key].verify(base64.b64decode(signature.signature, validate=True), DOMAIN + manifest)
        except (InvalidSignature, ValueError):
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """A key's id: the beginning of the SHA-256 of its 32 bytes."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"ed25519:{hashlib.sha256(raw).hexdigest()[:16]}"


def read_signing_key(path: Path) -> SigningKey:
    """Read a private key. Raises SetupError."""
    try:
        key = load_pem_private_key(_read(path), None)
    except TypeError as error:
        raise SetupError(
            f"{path} is encrypted; give the key without a passphrase, in a file that only you can read"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SetupError(f"{path} holds no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SetupError(f"{path} holds a key that is not Ed25519")
    return SigningKey(key)


def read_trusted_keys(path: Path) -> TrustedKeys:
    """Read one public key or several from a PEM file. Raises SetupError; for a private key too, which signs."""
    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise SetupError(f"{path} holds a private key: give a stage the public key only")
    keys = {}
    for each in _PUBLIC.findall(content):
        try:
            key = load_pem_public_key(each)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise SetupError(f"{path} holds a public key that cannot be read") from error
        if not isinstance(key, Ed25519PublicKey):
            raise SetupError(f"{path} holds a key that is not Ed25519")
        keys[key_id(key)] = key
    if not keys:
        raise SetupError(f"{path} holds no public key in PEM")
    return TrustedKeys(keys)


def public_path(private: Path) -> Path:
    """Where the public half of a new pair is put."""
    return private.with_suffix(PUBLIC_SUFFIX)


def make_key_pair(private: Path) -> SigningKey:
    """Write a new pair, the private half for its owner's eyes alone.

    Raises:
        SetupError: one of the two files is there already, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(public_path(private), public, 0o644)
    try:
        _write_new(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    except SetupError:
        public_path(private).unlink()
        raise
    return SigningKey(key)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise SetupError(f"{path} is there already: a key is never overwritten") from None
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read the key {path}: {error.strerror}") from error
