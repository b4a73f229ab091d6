"""Who may call what, in containers: strangers beside the stages, keys at the gateway, mutual TLS by its overlay."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from splitway.cli.operate import keys
from splitway.security.callers.keys import read_keys
from testkit.support import until
from tests.compose.composed import KEYS, MTLS, PROJECT, ROOT, Compose, require_docker, run

require_docker()
pytestmark = pytest.mark.docker

JPEG = {"content-type": "image/jpeg"}
TOKEN_FILE = "/run/splitway/shared/service_token"  # noqa: S105 - a path
ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"x-service-token": sys.argv[2]})
try:
    print(urllib.request.urlopen(request, timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
ASK_TLS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if len(sys.argv) > 2:
    context.load_cert_chain(sys.argv[2])
try:
    with context.wrap_socket(socket.create_connection((sys.argv[1], 8091), 5)) as connection:
        connection.sendall(b"GET /v1/stage HTTP/1.1\\r\\nhost: classifier\\r\\n\\r\\n")
        print(connection.recv(100)[:12].decode() or "nothing")
except OSError:
    print("nothing")
"""


def _stranger(*command: str) -> str:
    """What a container of nobody's prints, which has found its way into the network of the stages."""
    network = f"{PROJECT}_stages"
    return run("docker", "run", "--rm", "--network", network, f"{PROJECT}/classifier", *command).strip()


def test_a_stage_answers_nobody_on_its_network_without_the_token(compose: Compose) -> None:
    compose("up", "--detach", "--wait")
    token = compose("exec", "gateway", "cat", TOKEN_FILE).strip()
    url = "http://classifier:8091"
    assert len(token) == 64
    assert _stranger("python", "-c", ASK, f"{url}/v1/stage", "0" * 64) == "401"
    assert _stranger("python", "-c", ASK, f"{url}/v2/models/classifier", "") == "401"
    assert _stranger("python", "-c", ASK, f"{url}/v1/stage", token) == "200"
    assert _stranger("python", "-c", ASK, f"{url}/readyz", "") == "200"


def test_the_token_stays_what_it_is_and_stands_in_no_log_and_no_setting(compose: Compose) -> None:
    token = compose("exec", "gateway", "cat", TOKEN_FILE).strip()
    compose("up", "--detach", "--wait", "secrets", "gateway")
    assert compose("exec", "classifier", "cat", TOKEN_FILE).strip() == token
    assert token not in compose("logs", "--no-color")
    for service in ("gateway", "feature-extractor", "classifier", "secrets"):
        assert token not in str(compose.containers(service))


def test_published_beyond_loopback_the_gateway_does_not_start_without_keys() -> None:
    command = ("docker", "compose", "--project-name", PROJECT, "run", "--rm", "--no-deps", "-T", "gateway")
    told = {**os.environ, "SPLITWAY_PUBLISH": "0.0.0.0"}  # noqa: S104 - what is tried
    ended = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "SPLITWAY_KEYS_FILE" in ended.stderr + ended.stdout


@pytest.fixture
def key(compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A key, and the file that it is in; the gateway asks for it."""
    folder = tmp_path / "keys"
    folder.mkdir()
    made, _ = keys.create(folder / "keys.json", "test", ["infer"], "1d")
    monkeypatch.setenv("SPLITWAY_KEYS_FOLDER", str(folder))
    compose(*KEYS, "up", "--detach", "--wait")
    yield made, folder / "keys.json"
    compose("up", "--detach", "--wait")


def _status(compose: Compose, picture: bytes, key: str | None) -> int:
    headers = JPEG if key is None else {**JPEG, "authorization": f"Bearer {key}"}
    return httpx.post(f"{compose.url}/v1/classify", content=picture, headers=headers, trust_env=False).status_code


def test_with_keys_the_gateway_asks_for_one_until_it_is_revoked(
    compose: Compose, cat: bytes, key: tuple[str, Path]
) -> None:
    credential, file = key
    assert _status(compose, cat, None) == 401
    assert _status(compose, cat, credential) == 200
    keys.revoke(file, read_keys(file).keys[0].id)
    until(lambda: _status(compose, cat, credential) == 401, 10)


@pytest.fixture(scope="module")
def mtls(compose: Compose) -> Iterator[Compose]:
    compose(*MTLS, "up", "--detach", "--wait")
    yield compose
    compose("up", "--detach", "--wait", "--remove-orphans")


def test_with_mutual_tls_a_picture_comes_in_and_its_label_out(mtls: Compose, cat: bytes) -> None:
    assert mtls.classify(cat).json()["label"] == "Egyptian cat"
    urls = [
        replica["url"]
        for stage in httpx.get(f"{mtls.url}/v1/pipeline", trust_env=False).json()["stages"]
        for replica in stage["replicas"]
    ]
    assert [url.partition(":")[0] for url in urls] == ["https", "https"]


def test_with_mutual_tls_a_stage_answers_the_gateway_alone(mtls: Compose) -> None:
    own = "/run/splitway/identity/identity.pem"
    assert _stranger("python", "-c", ASK_TLS, "classifier") == "nothing"
    assert mtls("exec", "feature-extractor", "python", "-c", ASK_TLS, "classifier", own).strip() == "nothing"
    assert mtls("exec", "gateway", "python", "-c", ASK_TLS, "classifier", own).strip() == "HTTP/1.1 401"  # no token


def test_each_service_has_its_own_key_and_none_the_authoritys(mtls: Compose) -> None:
    for service in ("gateway", "feature-extractor", "classifier"):
        mounts = {mount["Name"]: mount["RW"] for mount in mtls.containers(service)[0]["Mounts"]}
        identities = {name: writable for name, writable in mounts.items() if "identity" in name or "author" in name}
        assert identities == {f"{PROJECT}_identity-{service}": False}
    (certificates,) = mtls.containers("certificates")
    assert certificates["HostConfig"]["ReadonlyRootfs"]
    assert certificates["HostConfig"]["CapDrop"] == ["ALL"]
    assert certificates["HostConfig"]["NetworkMode"] == "none"
    assert certificates["Config"]["User"] == "10001:10001"


@pytest.mark.parametrize("how", [(), ("--new-ca",)], ids=["same authority", "new authority"])
def test_renewed_certificates_cost_not_a_request(mtls: Compose, cat: bytes, how: tuple[str, ...]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        renewed = pool.submit(
            partial(mtls, "exec", "certificates", "splitway", "certs", "create", "--out", "/certs", *how)
        )
        statuses: list[int] = []
        while not renewed.done() or len(statuses) < 50:
            statuses.append(mtls.classify(cat).status_code)
        renewed.result()
    assert set(statuses) == {200}
