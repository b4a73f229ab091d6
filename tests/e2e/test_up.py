"""`splitway up` keeps things up, beside others of its kind, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from splitway.local.places import Place
from testkit.support import free_port, one_line, splitway, until

pytestmark = pytest.mark.alone

JPEG = {"content-type": "image/jpeg"}
BACK_WITHIN_S, SEEN_WITHIN_S = 5.0, 3.0
STAGES = ("gateway", "feature_extractor", "classifier")


class Up:
    """A pipeline that was started in a folder with `splitway up`."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.back_within_s = BACK_WITHIN_S
        """More on a machine that is busy with other work: then its own start took long as well."""
        self._run_file = folder / ".splitway" / "run.json"
        self.terminal = folder / "terminal"

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._run_file.read_text())
        return found

    @property
    def url(self) -> str:
        return str(self.run["gateway"]["url"])

    @property
    def pids(self) -> dict[str, int]:
        run = self.run
        return {stage: (run[stage] if stage == "gateway" else run[stage][0])["pid"] for stage in STAGES}

    def wait_ready(self) -> None:
        started_s = time.monotonic()
        until(lambda: "ready in" in self.terminal.read_text(), 60)
        self.back_within_s = max(BACK_WITHIN_S, 2 * (time.monotonic() - started_s))


@contextmanager
def _up(folder: Path, models: Path, *options: str) -> Iterator[Up]:
    command = [sys.executable, "-m", "splitway.cli.main", "up", "--models", str(models), "--port", "0", *options]
    with (folder / "terminal").open("w") as terminal:
        process = subprocess.Popen(command, cwd=folder, stdout=terminal, stderr=subprocess.STDOUT, text=True)
    up = Up(folder, process)
    try:
        up.wait_ready()
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _is_served(url: str, cat: bytes) -> bool:
    try:
        return (
            httpx.post(f"{url}/v1/classify", content=cat, headers=JPEG, timeout=5, trust_env=False).status_code == 200
        )
    except httpx.TransportError:
        return False


def test_what_is_killed_is_served_again_and_nothing_else_was_restarted(
    models: Path, tmp_path: Path, cat: bytes
) -> None:
    with _up(tmp_path, models) as up:
        url = up.url
        for killed in STAGES:
            before = up.pids
            os.kill(before[killed], signal.SIGKILL)
            killed_s = time.monotonic()
            until(lambda before=before, killed=killed: up.pids[killed] != before[killed], up.back_within_s)  # type: ignore[misc]
            until(lambda: _is_served(url, cat), up.back_within_s)
            assert time.monotonic() - killed_s < up.back_within_s
            assert {stage for stage, pid in up.pids.items() if pid != before[stage]} == {killed}
        assert up.url == url
        until(lambda: up.terminal.read_text().count("is ready again") == len(STAGES), 10)
        process = json.loads(splitway("ps", "--json", cwd=tmp_path).stdout)["pipelines"][0]["processes"]
        assert [(each["state"], each["restarts"]) for each in process] == [("running", 1)] * len(STAGES)
    assert up.terminal.read_text().count("has ended with -9; it is started again in 0.5 s") == len(STAGES)
    assert os.listdir(tmp_path / ".splitway") == []  # noqa: PTH208


def test_a_process_that_is_told_to_stop_by_others_keeps_no_caller_out_later(
    models: Path, tmp_path: Path, cat: bytes
) -> None:
    """A process that drains has the kernel drop what comes in, on the socket that the next one is given."""
    with _up(tmp_path, models) as up:
        url = up.url
        for stage in ("gateway", "classifier"):
            before = up.pids[stage]
            os.kill(before, signal.SIGTERM)
            until(lambda before=before, stage=stage: up.pids[stage] != before, up.back_within_s)  # type: ignore[misc]
            until(lambda: _is_served(url, cat), up.back_within_s)


def test_without_restarts_it_stays_so_which_the_pipeline_says_soon(models: Path, tmp_path: Path) -> None:
    with _up(tmp_path, models, "--no-restart") as up:
        pids, url = up.pids, up.url
        os.kill(pids["classifier"], signal.SIGKILL)

        def state() -> str:
            stages = httpx.get(f"{url}/v1/pipeline", trust_env=False).json()["stages"]
            return str(next(stage["replicas"][0]["state"] for stage in stages if stage["name"] == "classifier"))

        until(lambda: state() == "unreachable", SEEN_WITHIN_S)
        os.kill(pids["gateway"], signal.SIGKILL)
        until(lambda: up.terminal.read_text().count("with --no-restart it stays so") == 2, 5)
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)
        assert up.pids == pids
        assert up.process.poll() is None
        os.kill(pids["feature_extractor"], signal.SIGKILL)
        assert up.process.wait(10) == 1
        assert "every process has ended" in up.terminal.read_text()


def test_a_stop_while_something_waits_to_be_started_ends_everything(models: Path, tmp_path: Path) -> None:
    with _up(tmp_path, models) as up:
        pids = up.pids
        os.kill(pids["gateway"], signal.SIGKILL)
        until(lambda: "it is started again" in up.terminal.read_text(), 5)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(60) == 0
    assert not [pid for pid in pids.values() if Place("", "", pid).is_alive]
    assert os.listdir(tmp_path / ".splitway") == []  # noqa: PTH208


@pytest.mark.parametrize("detach", [[], ["-d"]], ids=["in sight", "detached"])
def test_what_dies_before_it_was_ready_ends_it_with_its_last_lines(
    detach: list[str], models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models, tmp_path / "models")
    file = tmp_path / "models" / "classifier" / "1" / "model.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    ended = splitway("up", "--port", "0", *detach, cwd=tmp_path)
    assert "classifier.1 ended with 1 before it was told to; its last line says why" in one_line(ended)
    assert "corrupted" in ended.stderr
    assert [path for path in os.listdir(tmp_path / ".splitway") if path != "run.log"] == []  # noqa: PTH208


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose pipelines are stopped, whatever comes of the test."""
    yield tmp_path
    for name in ("a", "b"):
        splitway("down", "--name", name, cwd=tmp_path)


def test_two_names_side_by_side_leave_nothing_behind(models: Path, folder: Path, samples: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return splitway(*arguments, cwd=folder)

    started = run("up", "-d", "--models", str(models), "--name", "a", "--port", "0")
    assert "splitway logs -f --name a" in started.stdout, started.stderr
    assert "splitway classify --name a" in started.stdout
    assert run("classify", str(samples / "cat.jpg")).returncode == 0, "the only one is asked"
    other = json.loads(run("up", "-d", "--json", "--models", str(models), "--name", "b", "--port", "0").stdout)
    assert other["name"] == "b"
    status = httpx.get(f"{other['url']}/v1/pipeline", trust_env=False).json()
    assert status["launched"] == {"name": "b", "models": str(models)}, "what the page's commands must be told"
    refused = one_line(run("up", "--models", str(models), "--name", "a", "--port", "0"))
    assert "run-a.json runs already" in refused
    assert "a, b: choose one with --name" in one_line(run("classify", str(samples / "cat.jpg")))
    assert run("classify", "--name", "b", str(samples / "cat.jpg")).returncode == 0
    pipelines = json.loads(run("ps", "--json").stdout)["pipelines"]
    assert [(each["name"], each["ready"], len(each["processes"])) for each in pipelines] == [
        ("a", True, 3),
        ("b", True, 3),
    ]
    following = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "logs", "-f", "--name", "b", "gateway"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "stopped a: gateway, feature_extractor.1, classifier.1" in run("down", "--name", "a").stdout
    assert "only b runs from this folder" in run("down").stderr
    assert json.loads(run("down", "--name", "b", "--json").stdout)["name"] == "b"
    said, _ = following.communicate(timeout=10)
    assert "request route=/v1/classify" in said
    assert "classifier.1" not in said
    assert following.returncode == 0
    assert run("ps").returncode == 0
    assert "nothing is stopped" in run("down").stderr
    pids = [process["pid"] for each in pipelines for process in each["processes"]] + [each["pid"] for each in pipelines]
    assert not [pid for pid in pids if Place("", "", pid).is_alive]
    assert sorted(os.listdir(folder / ".splitway")) == ["run-a.log", "run-b.log"]  # noqa: PTH208
    for process in (process for each in pipelines for process in each["processes"]):
        with pytest.raises(httpx.ConnectError):
            httpx.get(process["url"], trust_env=False)
    assert "up                  | stopped" in run("logs", "--name", "a").stdout


def _certificate(folder: Path, name: str) -> None:
    """Write a self-signed certificate and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    encoding, none = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(encoding))


def test_callers_speak_https_and_a_new_certificate_is_shown_while_it_serves(
    models: Path, tmp_path: Path, samples: Path
) -> None:
    _certificate(tmp_path, "first")
    tls = ("--tls-cert", "cert.pem", "--tls-key", "key.pem")
    started = splitway("up", "-d", "--models", str(models), "--port", str(free_port()), *tls, cwd=tmp_path)
    assert "ready" in started.stdout, started.stderr
    try:
        up = json.loads((tmp_path / ".splitway" / "run.json").read_text())
        assert up["gateway"]["url"].startswith("https://")
        cat = str(samples / "cat.jpg")
        assert splitway("classify", cat, cwd=tmp_path).returncode == 0, "the run file says what to trust"
        named = ("classify", cat, "--url", up["gateway"]["url"])
        assert splitway(*named, cwd=tmp_path).returncode == 1, "it is signed by itself"
        assert splitway(*named, cwd=tmp_path, SPLITWAY_CA="cert.pem").returncode == 0
        _certificate(tmp_path, "second")
        until(lambda: splitway("classify", cat, cwd=tmp_path).returncode == 0, 20)
        assert json.loads(splitway("ps", "--json", cwd=tmp_path).stdout)["pipelines"][0]["ready"] is True
    finally:
        stopped = splitway("down", cwd=tmp_path)
    assert "stopped the pipeline" in stopped.stdout


def test_what_others_could_ask_without_a_key_is_refused_before_anything_starts(models: Path, tmp_path: Path) -> None:
    refused = splitway("up", "--models", str(models), "--host", "0.0.0.0", "--port", "0", cwd=tmp_path)  # noqa: S104
    assert "reachable from other machines without authentication" in one_line(refused)
    assert "|" not in refused.stderr + refused.stdout, "a process was started"
    assert not (tmp_path / ".splitway").exists()
