from __future__ import annotations

import base64
import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from splitway.errors import BundleError, SetupError
from splitway.security.signing import (
    DOMAIN,
    Signatures,
    SigningKey,
    TrustedKeys,
    make_key_pair,
    public_path,
    read_signing_key,
    read_trusted_keys,
)

MANIFEST = b'{"name": "classifier"}\n'


@pytest.fixture
def private(tmp_path: Path) -> Path:
    make_key_pair(tmp_path / "release.pem")
    return tmp_path / "release.pem"


@pytest.fixture
def key(private: Path) -> SigningKey:
    return read_signing_key(private)


@pytest.fixture
def keys(private: Path) -> TrustedKeys:
    return read_trusted_keys(public_path(private))


def signed(key: SigningKey, manifest: bytes = MANIFEST) -> bytes:
    return key.sign(manifest).to_json().encode()


def test_what_was_signed_is_told_from_what_was_not(key: SigningKey, keys: TrustedKeys) -> None:
    assert keys.check(MANIFEST, signed(key)) == key.id
    for other in (MANIFEST + b" ", MANIFEST[1:], b""):
        with pytest.raises(BundleError, match="does not match its manifest"):
            keys.check(other, signed(key))
    with pytest.raises(BundleError, match="is not signed"):
        keys.check(MANIFEST, None)


def test_somebody_elses_signature_does_not_count(tmp_path: Path, keys: TrustedKeys) -> None:
    mallory = make_key_pair(tmp_path / "mallory.pem")
    with pytest.raises(BundleError, match="none of the trusted keys"):
        keys.check(MANIFEST, signed(mallory))
    forged = signed(mallory).replace(mallory.id.encode(), keys.ids[0].encode())
    with pytest.raises(BundleError, match="does not match"):
        keys.check(MANIFEST, forged)


def test_a_signature_of_something_else_by_the_same_key_does_not_count(private: Path, keys: TrustedKeys) -> None:
    """Without what stands before it, whatever else the key signs could be passed off as a bundle."""
    raw = load_pem_private_key(private.read_bytes(), None)
    bare = raw.sign(MANIFEST)  # type: ignore[union-attr, call-arg]
    content = Signatures.read(signed(read_signing_key(private))).model_dump()
    content["signatures"][0]["signature"] = base64.b64encode(bare).decode()
    with pytest.raises(BundleError, match="does not match"):
        keys.check(MANIFEST, json.dumps(content).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"signatures": []}',
        b'{"signatures": [{"key": "rsa:1", "algorithm": "none", "signature": ""}]}',
        b'{"signatures": [{"key": "ed25519:0123456789abcdef", "algorithm": "ed25519", "signature": "!"}]}',
    ],
    ids=["empty", "bytes", "deep", "no list", "none", "other algorithm", "no base64"],
)
def test_a_damaged_signature_is_one_line(keys: TrustedKeys, content: bytes) -> None:
    content = content.replace(b"ed25519:0123456789abcdef", keys.ids[0].encode())
    with pytest.raises(BundleError):
        keys.check(MANIFEST, content)


def test_keys_are_rotated_with_both_trusted_for_a_while(tmp_path: Path, key: SigningKey, private: Path) -> None:
    new = make_key_pair(tmp_path / "new.pem")
    both = tmp_path / "both.pem"
    both.write_bytes(public_path(private).read_bytes() + public_path(tmp_path / "new.pem").read_bytes())
    keys = read_trusted_keys(both)
    assert keys.ids == [key.id, new.id]
    twice = new.sign(MANIFEST, key.sign(MANIFEST))
    assert [each.key for each in twice.signatures] == [key.id, new.id]
    for content in (signed(key), signed(new), twice.to_json().encode()):
        assert keys.check(MANIFEST, content) in keys.ids
    stale = new.sign(b"later", twice).to_json().encode()
    assert keys.check(b"later", stale) == new.id
    assert len(new.sign(b"later", new.sign(MANIFEST)).signatures) == 1


def test_a_pair_is_never_written_over_and_the_private_half_is_the_owners(private: Path) -> None:
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    with pytest.raises(SetupError, match="never overwritten"):
        make_key_pair(private)
    public_path(private).unlink()
    with pytest.raises(SetupError, match="never overwritten"):
        make_key_pair(private)
    assert private.read_bytes() == before
    assert not public_path(private).exists()


def test_openssl_makes_keys_and_checks_signatures(tmp_path: Path) -> None:
    def openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=tmp_path)

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
    made = read_signing_key(tmp_path / "key.pem").sign(MANIFEST)
    assert read_trusted_keys(tmp_path / "pub.pem").check(MANIFEST, made.to_json().encode())
    (tmp_path / "signature").write_bytes(base64.b64decode(made.signatures[0].signature))
    (tmp_path / "message").write_bytes(DOMAIN + MANIFEST)
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", "message", "-sigfile", "signature")


@pytest.mark.usefixtures("private")
def test_other_keys_are_refused_by_name(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048)
    (tmp_path / "rsa.pem").write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "rsa.pub.pem").write_bytes(
        rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "locked.pem").write_bytes(
        rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )
    for name, says in (("rsa.pem", "not Ed25519"), ("locked.pem", "encrypted"), ("none.pem", "cannot read")):
        with pytest.raises(SetupError, match=says):
            read_signing_key(tmp_path / name)
    (tmp_path / "empty.pem").write_text("nothing")
    for name, says in (("rsa.pub.pem", "not Ed25519"), ("empty.pem", "no public key"), ("release.pem", "private key")):
        with pytest.raises(SetupError, match=says):
            read_trusted_keys(tmp_path / name)
