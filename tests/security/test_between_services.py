"""Between the services: whoever is on their network asks a stage, pretends to be one, or listens.

Each attack is made twice: against services that know each other, and against those of a pipeline without.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import httpx
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.security.identities.certificates import Certificates
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import LogBook, free_port, one_line, splitway, until
from tests.security.between import FalseStage, ask, gateway_process, overheard, post, why_not_captured

pytestmark = pytest.mark.alone

JPEG = {"content-type": "image/jpeg"}
TOKEN = "between-services-" + "0123456789abcdef" * 2


@dataclass(frozen=True)
class Secured:
    """A pipeline with mutual TLS, its certificates, and what it has logged."""

    running: LocalPipeline
    certs: Path
    log: LogBook

    def url(self, stage: str) -> str:
        return self.running.of(stage)[0].url

    def classify(self, picture: bytes) -> int:
        url = f"{self.running.gateway.url}/v1/classify"
        return httpx.post(url, content=picture, headers=JPEG, timeout=30, trust_env=False).status_code


@pytest.fixture(scope="module")
def secured(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    certs, log = tmp_path_factory.mktemp("mtls") / "certs", LogBook()
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None, certs=certs), log.line) as running:
        running.wait_ready()
        yield Secured(running, certs, log)
    assert all(process.exit_code == 0 for process in running.processes), log.text


@pytest.fixture(scope="module")
def with_token(models: Path) -> Iterator[Secured]:
    log = LogBook()
    told = {"SPLITWAY_SERVICE_TOKEN": f"{TOKEN},{'old' * 10}"}
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None, environment=told), log.line) as running:
        running.wait_ready()
        yield Secured(running, Path(), log)


@pytest.fixture(scope="module")
def attack(cat: bytes) -> bytes:
    """A picture, sent to the extractor by somebody who is not the gateway."""
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [cat]),)))
    return post("/v2/models/feature_extractor/infer", body, {HEADER_LENGTH: str(length)})


def _certificate_of(who: str, secured: Secured, folder: Path) -> Path | None:
    """The folder of a certificate that somebody has got hold of."""
    now = datetime.now(UTC)
    if who == "nobody":
        return None
    if who == "foreign gateway":
        foreign = Certificates(folder, lambda: now, lambda: None)
        foreign.create(["gateway"])
        return folder / "gateway"
    if who == "expired gateway":
        kept = (secured.certs / "gateway" / "identity.pem").read_bytes()
        Certificates(secured.certs, lambda: now - timedelta(days=8), lambda: None).create(["gateway"])
        (folder / "identity.pem").write_bytes((secured.certs / "gateway" / "identity.pem").read_bytes())
        (secured.certs / "gateway" / "identity.pem").write_bytes(kept)
        return folder
    if who == "other":
        Certificates(secured.certs).create(["other"])
    return secured.certs / who


@pytest.mark.parametrize("who", ["nobody", "foreign gateway", "classifier", "other", "expired gateway"])
def test_a_stage_takes_work_from_the_gateway_alone(who: str, secured: Secured, attack: bytes, tmp_path: Path) -> None:
    url = secured.url("feature_extractor")
    assert ask(url, _certificate_of(who, secured, tmp_path), attack) == b""
    assert ask(url, secured.certs / "gateway", attack).startswith(b"HTTP/1.1 200 OK")


def test_without_mutual_tls_and_token_it_takes_work_from_anybody(pipeline: LocalPipeline, attack: bytes) -> None:
    """What `splitway up` is on loopback, where nobody else is; beyond it a stage does not start like this."""
    assert ask(pipeline.of("feature_extractor")[0].url, None, attack).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("who", ["feature_extractor", "classifier"])
def test_the_gateway_sends_nothing_to_a_stage_that_is_another(who: str, secured: Secured) -> None:
    """The same server hears everything with the right certificate, so that it is the identity that decides."""
    with FalseStage(secured.certs / who) as stage:
        told = {
            "SPLITWAY_IDENTITY": str(secured.certs / "gateway"),
            "SPLITWAY_FEATURE_EXTRACTOR": secured.url("feature_extractor"),
            "SPLITWAY_CLASSIFIER": stage.url,
            "SPLITWAY_SERVICE_TOKEN": TOKEN,
        }
        with gateway_process(told) as (url, _):
            until(lambda: stage.connections >= 3, 10)
            said = httpx.get(f"{url}/v1/pipeline", trust_env=False).json()["stages"][-1]["replicas"][0]
    assert said["state"] == "unreachable"
    if who == "classifier":
        assert b"GET /v1/stage" in stage.heard
        assert TOKEN.encode() in stage.heard
    else:
        assert stage.heard == b""
        assert "feature_extractor answers in place of classifier" in said["reason"]


def test_a_stage_does_not_start_with_the_certificate_of_another(secured: Secured, models: Path) -> None:
    told = {"SPLITWAY_IDENTITY": str(secured.certs / "gateway"), "SPLITWAY_MODELS": str(models)}
    assert "certificate of gateway, and this is classifier" in one_line(
        splitway("serve", "classifier", "--port", str(free_port()), cwd=None, **told)
    )


def test_new_certificates_and_a_new_authority_cost_not_a_request(secured: Secured, cat: bytes) -> None:
    certificates = Certificates(secured.certs)
    before = _served(secured)
    with ThreadPoolExecutor(9) as pool:
        done, seen = Event(), list[int]()
        workers = [pool.submit(_load, secured, cat, done, seen) for _ in range(8)]
        try:
            certificates.create(["gateway", "feature_extractor", "classifier"])
            time.sleep(3)
            renewed = _served(secured)
            certificates.create([], new_authority=True)
            time.sleep(3)
            certificates.forget_previous()
            time.sleep(4)
            until(lambda: len(seen) > 100, 60)  # however slow the machine is
        finally:
            done.set()
        for worker in workers:
            worker.result()
    assert set(seen) == {200}, Counter(seen)
    assert len({before, renewed, _served(secured)}) == 3


def _load(secured: Secured, picture: bytes, done: Event, seen: list[int]) -> None:
    while not done.is_set():
        seen.append(secured.classify(picture))


def _served(secured: Secured) -> bytes | None:
    """The certificate that the extractor shows now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(secured.certs / "gateway" / "identity.pem")
    parts = urlsplit(secured.url("feature_extractor"))
    with context.wrap_socket(socket.create_connection((parts.hostname, parts.port), 5)) as connection:
        return connection.getpeercert(binary_form=True)


@pytest.fixture(scope="module")
def listener() -> None:
    if reason := why_not_captured():
        pytest.skip(reason)


@pytest.mark.usefixtures("listener")
@pytest.mark.parametrize("is_secured", [True, False], ids=["mutual TLS", "plain"])
def test_who_listens_between_the_services_hears_nothing(
    is_secured: bool, secured: Secured, pipeline: LocalPipeline, cat: bytes, tmp_path: Path
) -> None:
    running = secured.running if is_secured else pipeline
    ports = [urlsplit(process.url).port or 0 for process in running.processes if process.stage != "gateway"]
    file = tmp_path / "overheard.pcapng"
    with overheard(ports, file):
        for _ in range(5):
            url = f"{running.gateway.url}/v1/classify"
            assert httpx.post(url, content=cat, headers=JPEG, trust_env=False).status_code == 200
        until(lambda: file.stat().st_size > 5 * len(cat), 10)
    packets = file.read_bytes()
    assert len(packets) > 5 * len(cat)
    secrets = {"a request": b"POST /v2/models/", "a tensor's name": b'"features"', "a picture": cat[2000:2064]}
    heard = {what for what, content in secrets.items() if content in packets}
    assert heard == (set() if is_secured else set(secrets))


@pytest.mark.parametrize("sent", ["", "x" * 40, f"{TOKEN}0", TOKEN[:-1]], ids=["none", "another", "longer", "shorter"])
def test_a_stage_with_a_token_takes_work_from_nobody_who_does_not_send_it(
    sent: str, with_token: Secured, attack: bytes
) -> None:
    url = with_token.url("feature_extractor")
    refused = ask(url, None, _with_token(attack, sent))
    assert refused.startswith(b"HTTP/1.1 401")
    assert TOKEN.encode() not in refused
    for taken in (TOKEN, "old" * 10):
        assert ask(url, None, _with_token(attack, taken)).startswith(b"HTTP/1.1 200 OK")


def _with_token(request: bytes, token: str) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    return head + (f"\r\nx-service-token: {token}".encode() if token else b"") + b"\r\n\r\n" + body


def test_with_a_token_the_gateway_is_served_and_nobody_prints_it(with_token: Secured, cat: bytes) -> None:
    assert with_token.classify(cat) == 200
    for path in ("/v1/pipeline", "/metrics", "/readyz"):
        assert TOKEN not in httpx.get(f"{with_token.running.gateway.url}{path}", trust_env=False).text
    assert TOKEN not in with_token.log.text


def test_a_caller_cannot_lend_the_gateway_a_token_or_an_identity(with_token: Secured, cat: bytes) -> None:
    """What the gateway sends on is its own: a token of the caller's goes nowhere."""
    sent = {**JPEG, "x-service-token": "x" * 40}
    reply = httpx.post(f"{with_token.running.gateway.url}/v1/classify", content=cat, headers=sent, trust_env=False)
    assert reply.status_code == 200


def test_what_contradicts_itself_does_not_start(secured: Secured) -> None:
    identity = {"SPLITWAY_IDENTITY": str(secured.certs / "gateway")}
    https = {"SPLITWAY_CLASSIFIER": "https://127.0.0.1:1", "SPLITWAY_FEATURE_EXTRACTOR": "https://127.0.0.1:2"}
    assert "use https" in one_line(splitway("serve", "gateway", "--port", "0", cwd=None, **identity))
    assert "set SPLITWAY_IDENTITY" in one_line(splitway("serve", "gateway", "--port", "0", cwd=None, **https))
