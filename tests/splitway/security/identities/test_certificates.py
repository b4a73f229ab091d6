"""A private authority, its services' folders, and what happens to both over the years."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from splitway.cli.operate import certs
from splitway.errors import SetupError
from splitway.security.identities.certificates import Certificates, read_certificates, utc_now
from splitway.security.identities.service_names import IDENTITY, TRUST
from testkit.support import one_line, splitway

START = datetime(2026, 5, 1, tzinfo=UTC)
SERVICES = ("gateway", "feature_extractor", "classifier")


class Calendar:
    """A time that a test moves on, and how often somebody waited for others to see."""

    def __init__(self) -> None:
        self.now = START
        self.waited = 0
        self.seen: Callable[[], object] = lambda: None

    def __call__(self) -> datetime:
        return self.now

    def settle(self) -> None:
        self.waited += 1
        self.seen()


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def certificates(tmp_path: Path, calendar: Calendar) -> Certificates:
    made = Certificates(tmp_path / "certs", calendar, calendar.settle)
    made.create(SERVICES)
    return made


def _leaf(certificates: Certificates, service: str) -> x509.Certificate:
    return read_certificates(certificates.folder / service / IDENTITY)[0]


def _trusted(certificates: Certificates, service: str) -> list[x509.Certificate]:
    return read_certificates(certificates.folder / service / TRUST)


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix == ".pem"}


def test_a_certificate_says_who_a_service_is_and_nothing_more(certificates: Certificates) -> None:
    leaf = _leaf(certificates, "classifier")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("spiffe://splitway/classifier")]
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(leaf.public_key().curve, ec.SECP256R1)  # type: ignore[union-attr]
    assert leaf.not_valid_after_utc == START + timedelta(days=7)


@pytest.mark.parametrize(
    ("service", "purposes"),
    [
        ("gateway", {ExtendedKeyUsageOID.CLIENT_AUTH}),
        ("classifier", {ExtendedKeyUsageOID.SERVER_AUTH}),
        ("body_12", {ExtendedKeyUsageOID.SERVER_AUTH}),
        ("other", {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}),
    ],
)
def test_the_gateway_calls_and_stages_are_called(
    certificates: Certificates, service: str, purposes: set[x509.ObjectIdentifier]
) -> None:
    certificates.create([service])
    found = _leaf(certificates, service).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(found) == purposes


def test_the_authority_signs_services_and_no_other_authority(certificates: Certificates) -> None:
    (authority,) = _trusted(certificates, "gateway")
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value.ca
    assert constraints.value.path_length == 0
    for service in SERVICES:
        _leaf(certificates, service).verify_directly_issued_by(authority)


def test_keys_are_for_their_owner_alone_and_no_service_has_the_authoritys(certificates: Certificates) -> None:
    keys = {path for path, content in _files(certificates.folder).items() if b"PRIVATE KEY" in content}
    assert {path.relative_to(certificates.folder).as_posix() for path in keys} == {
        "ca/authority.pem",
        *(f"{service}/{IDENTITY}" for service in SERVICES),
    }
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys)
    assert all(stat.S_IMODE(path.parent.stat().st_mode) == 0o700 for path in keys)


def test_created_again_the_services_are_renewed_by_the_same_authority(
    certificates: Certificates, calendar: Calendar
) -> None:
    before = _files(certificates.folder)
    calendar.now += timedelta(days=5)
    certificates.create(["classifier"], timedelta(days=2))
    after = _files(certificates.folder)
    assert {path.relative_to(certificates.folder).as_posix() for path in after if after[path] != before[path]} == {
        f"classifier/{IDENTITY}"
    }
    assert _leaf(certificates, "classifier").not_valid_after_utc == START + timedelta(days=7)


def test_a_new_authority_is_trusted_before_anybody_shows_a_certificate_of_it(
    certificates: Certificates, calendar: Calendar
) -> None:
    (old,) = _trusted(certificates, "gateway")
    shown: list[x509.Certificate] = []
    calendar.seen = lambda: shown.append(_leaf(certificates, "classifier"))
    certificates.create(["gateway"], new_authority=True)
    assert calendar.waited == 1
    shown[0].verify_directly_issued_by(old)
    for service in SERVICES:
        new, before = _trusted(certificates, service)
        assert before == old
        _leaf(certificates, service).verify_directly_issued_by(new)
    assert (certificates.folder / "ca" / "previous.pem").read_bytes().count(b"PRIVATE") == 0


def test_the_old_authority_is_forgotten_on_request(certificates: Certificates) -> None:
    with pytest.raises(SetupError, match="no authority before"):
        certificates.forget_previous()
    certificates.create([], new_authority=True)
    certificates.forget_previous()
    assert [len(_trusted(certificates, service)) for service in SERVICES] == [1, 1, 1]


def test_the_old_authority_is_kept_while_a_service_shows_its_certificate(certificates: Certificates) -> None:
    kept = (certificates.folder / "classifier" / IDENTITY).read_bytes()
    certificates.create([], new_authority=True)
    (certificates.folder / "classifier" / IDENTITY).write_bytes(kept)
    assert {each.service for each in certificates.listed() if each.is_of_old_authority} == {"classifier"}
    with pytest.raises(SetupError, match="classifier: still certified by the old authority"):
        certificates.forget_previous()


def test_only_what_is_missing_or_due_is_renewed(certificates: Certificates, calendar: Calendar) -> None:
    assert certificates.renew(SERVICES) == []
    assert certificates.renew([*SERVICES, "body_1"]) == ["body_1"]
    calendar.now += timedelta(days=4)
    certificates.create(["gateway"])
    calendar.now += timedelta(days=1)
    assert certificates.renew(SERVICES) == ["feature_extractor", "classifier"]


@pytest.mark.parametrize("name", ["", "../up", "ca", "Gateway", "a b", "body-1", "x" * 65])
def test_what_is_no_name_changes_nothing(certificates: Certificates, name: str) -> None:
    before = _files(certificates.folder)
    with pytest.raises(SetupError, match="is not a valid service name"):
        certificates.create(["gateway", name])
    assert _files(certificates.folder) == before


@pytest.mark.parametrize("days", [0, -1, 398, 1e9, 1e300, float("nan")])
def test_no_certificate_is_good_for_longer_than_a_year_or_for_no_time(certificates: Certificates, days: float) -> None:
    before = _files(certificates.folder)
    with pytest.raises(SetupError, match="--days takes a number"):
        certs.create(certificates.folder, [], days)
    assert _files(certificates.folder) == before


def test_no_certificate_outlives_its_authority(certificates: Certificates, calendar: Calendar) -> None:
    (authority,) = _trusted(certificates, "gateway")
    calendar.now = authority.not_valid_after_utc - timedelta(days=1)
    certificates.create(["gateway"])
    assert _leaf(certificates, "gateway").not_valid_after_utc == authority.not_valid_after_utc


@pytest.mark.parametrize(
    "content", [None, b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_an_authority_that_is_gone_or_broken_is_not_replaced_unasked(
    certificates: Certificates, content: bytes | None
) -> None:
    """Services that trust the old one would refuse all others from one moment to the next."""
    (old,) = _trusted(certificates, "gateway")
    file = certificates.folder / "ca" / "authority.pem"
    file.unlink() if content is None else file.write_bytes(content)
    before = _files(certificates.folder)
    with pytest.raises(SetupError, match="--new-ca"):
        certificates.create(SERVICES)
    assert _files(certificates.folder) == before
    certificates.create(SERVICES, new_authority=True)
    assert [each == old for each in _trusted(certificates, "gateway")] == [False, True]


def test_two_at_once_end_with_one_authority(tmp_path: Path) -> None:
    """The key of one process must not be left beside the certificate of another."""
    from concurrent.futures import ThreadPoolExecutor

    def create(_: int) -> None:
        Certificates(tmp_path, lambda: START, lambda: None).create(SERVICES)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(8)))
    certificates = Certificates(tmp_path, lambda: START, lambda: None)
    (authority,) = _trusted(certificates, "gateway")
    for each in certificates.listed():
        assert not each.is_of_old_authority
        _leaf(certificates, each.service).verify_directly_issued_by(authority)
        ssl.create_default_context().load_cert_chain(tmp_path / each.service / IDENTITY)


def test_the_commands(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    made = splitway("certs", "create", "--out", folder, "--service", "gateway", "--service", "body_1", "--days", "2")
    assert made.returncode == 0, made.stderr
    assert [line.partition(": ")[2][:6] for line in made.stdout.splitlines()] == ["body_1", "gatewa"]
    shown = splitway("certs", "show", "--out", folder)
    assert "body_1" in shown.stdout
    assert "48.0 hours" in shown.stdout
    assert "good" in shown.stdout
    assert "no certificates" in one_line(splitway("certs", "show", "--out", tmp_path / "none"))
    assert "is not a valid service name" in one_line(
        splitway("certs", "create", "--out", folder, "--service", "no/name")
    )


def test_show_says_plainly_what_is_late(tmp_path: Path, calendar: Calendar, capsys: pytest.CaptureFixture[str]) -> None:
    calendar.now = utc_now() - timedelta(days=6)
    certificates = Certificates(tmp_path, calendar, calendar.settle)
    certificates.create(["gateway"], timedelta(days=5))
    certificates.create(["classifier"], timedelta(days=7))
    certs.show(tmp_path, as_json=False)
    said = capsys.readouterr()
    assert "expired" in said.out
    assert "renew it" in said.out
    assert "classifier, gateway: renew with splitway certs create" in said.err
    certs.show(tmp_path, as_json=True)
    assert '"state": "expired"' in capsys.readouterr().out


@pytest.mark.parametrize("as_json", [False, True])
def test_show_goes_on_where_one_is_broken(tmp_path: Path, as_json: bool) -> None:
    Certificates(tmp_path, utc_now, lambda: None).create(["classifier", "gateway"])
    (tmp_path / "classifier" / IDENTITY).write_text("half of a certi")
    done = splitway("certs", "show", "--out", tmp_path, *(["--json"] if as_json else []))
    assert f"{tmp_path / 'classifier' / IDENTITY} holds no certificate" in one_line(done)
    broken, right = (line for line in done.stdout.splitlines() if "classifier" in line or "gateway" in line)
    assert "broken" in broken
    assert "good" in right
