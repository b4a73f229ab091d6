"""What answers and logs say, however things go wrong: nothing of the machine, no key, nothing that was sent."""

from __future__ import annotations

import hashlib
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from splitway.bundle import read_manifest, write_manifest
from splitway.cli.operate.keys import create
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, free_port, picture, until
from tests.security.leaks import CANARY, ask_a_stage, ask_the_gateway, check, leaks

pytestmark = pytest.mark.alone

JPEG = {"content-type": "image/jpeg"}
TOKEN, ADMIN, COLLECTOR_KEY = "canary-service-token-0123", "canary-admin-key-0123456", "canary-collector-key"
PLACE = "canary-place"


class Provoked:
    """A pipeline in which everything has gone wrong once, what it answered, and what it logged."""

    def __init__(self, running: LocalPipeline, models: Path, key: str, log: LogBook) -> None:
        self.running = running
        self.models = models
        self.key = key
        self.secret = key.split("_", 2)[2]  # the secret itself may have underscores
        self.log = log
        self.answers: dict[str, dict[str, httpx.Response]] = {}
        self.headers = {"authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=running.gateway.url, timeout=30, trust_env=False, headers=self.headers)

    @property
    def private(self) -> tuple[str, ...]:
        """What no answer may have in it."""
        ports = [f":{process.url.rsplit(':', 1)[1]}" for process in self.running.processes]
        return (PLACE, TOKEN, ADMIN, COLLECTOR_KEY, self.key, self.secret, *ports)

    def ask(self, when: str, client: httpx.Client | None = None) -> None:
        """Do all that a caller may do, once; a stage's own client asks the stage."""
        asked = ask_the_gateway(self.http) if client is None else ask_a_stage(client, "classifier")
        self.answers[when] = dict(asked)

    def stage(self, process: str = "classifier") -> httpx.Client:
        headers = {"authorization": f"Bearer {ADMIN}", "x-service-token": TOKEN}
        return httpx.Client(base_url=self.running.of(process)[0].url, timeout=30, trust_env=False, headers=headers)

    def is_ready(self) -> bool:
        return self.http.get("/readyz").status_code == 200


def _spoil(models: Path) -> None:
    """Beside the good version of the classifier: one that is damaged, one without a manifest, and one of no model."""
    good, aside = models / "classifier" / "1", models.parent / "spoilt"
    aside.mkdir()
    damaged, empty, none = (aside / version for version in ("2", "3", "4"))
    for folder in (damaged, none):
        shutil.copytree(good, folder)
        write_manifest(folder, read_manifest(good).model_copy(update={"version": folder.name}))
    (damaged / "model.tflite").write_bytes(b"x" * (damaged / "model.tflite").stat().st_size)
    empty.mkdir()
    (empty / "stage.json").write_text('{"canary-manifest": ')
    (none / "model.tflite").write_bytes(b"TFL3" * 100)
    manifest = read_manifest(none)
    digest = hashlib.sha256(b"TFL3" * 100).hexdigest()
    files = [
        each.model_copy(update={"sha256": digest, "size": 400}) if each.path == "model.tflite" else each
        for each in manifest.engine_files
    ]
    write_manifest(none, manifest.model_copy(update={"engine_files": tuple(files)}))
    for folder in (damaged, empty, none):  # whole, or a stage might read it before it is spoilt
        folder.rename(good.with_name(folder.name))


@pytest.fixture(scope="module")
def provoked(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provoked]:
    home = tmp_path_factory.mktemp(PLACE)
    own = Path(shutil.copytree(models, home / "models"))
    key, _ = create(home / "keys.json", "all", ["infer", "metrics"], "1d")
    environment = {
        "SPLITWAY_KEYS_FILE": str(home / "keys.json"),
        "SPLITWAY_SERVICE_TOKEN": TOKEN,
        "SPLITWAY_ADMIN_KEY": ADMIN,
        "SPLITWAY_LOG_LEVEL": "debug",
        "SPLITWAY_REQUEST_LOG_PER_SECOND": "1000",
        "SPLITWAY_PROBE_INTERVAL_MS": "100",
        "SPLITWAY_RESCAN_MS": "100",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://user:{COLLECTOR_KEY}@127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {COLLECTOR_KEY},{COLLECTOR_KEY} without a sign",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    log = LogBook()
    with LocalPipeline(LaunchPlan(own, port=0, environment=environment, run_file=None), log.line) as running:
        seen = Provoked(running, own, key, log)
        with seen.http:
            running.wait_ready()
            _provoke(seen)
            yield seen
            running.processes = [process for process in running.processes if process.exit_code is None]


def _provoke(seen: Provoked) -> None:
    seen.ask("all is well")
    seen.answers["a stage hangs"] = {"no time": _ask_while_it_hangs(seen)}
    _spoil(seen.models)
    with seen.stage() as stage:
        until(lambda: stage.get("/v1/stage").text.count('"failed"') == 3, 20)
        seen.ask("bundles are broken", stage)
        seen.models.joinpath("releases.json").write_text('{"canary-releases": 1')
        until(lambda: "is not a file of releases" in seen.log.text, 10)
        seen.ask("releases are broken")
    (lost,) = seen.running.of("classifier")
    lost.popen.kill()
    lost.popen.wait()
    seen.ask("a stage is being lost")
    until(lambda: not seen.is_ready(), 10)
    seen.ask("a stage is gone")


def _ask_while_it_hangs(seen: Provoked) -> httpx.Response:
    """Where time runs out is not left to chance: a millisecond may end in the body or at a stage."""
    (process,) = seen.running.of("classifier")
    process.popen.send_signal(signal.SIGSTOP)
    try:
        headers = {**JPEG, "x-request-timeout-ms": "500"}
        return seen.http.post("/v1/classify?timeline=true", content=picture(), headers=headers)
    finally:
        process.popen.send_signal(signal.SIGCONT)
        until(seen.is_ready, 20)


WHEN = ("all is well", "bundles are broken", "releases are broken", "a stage is being lost", "a stage is gone")


@pytest.mark.parametrize("when", WHEN)
def test_no_answer_says_anything_of_the_machine_or_of_a_key(provoked: Provoked, when: str) -> None:
    statuses = check(provoked.answers[when].items(), *provoked.private)
    assert len(set(statuses.values())) > 3, statuses


def test_no_answer_of_a_pipeline_that_hangs_does_either(provoked: Provoked) -> None:
    assert check(provoked.answers["a stage hangs"].items(), *provoked.private) == {"no time": 504}


def test_the_provocations_provoked(provoked: Provoked) -> None:
    """Or the test above would say nothing."""
    well, gone = provoked.answers["all is well"], provoked.answers["a stage is gone"]
    assert (well["a good one"].status_code, gone["a good one"].status_code) == (200, 503)
    why = "no replica of classifier is ready: 1 cannot be reached; 1 of them is tried anyway"
    assert gone["/readyz"].json()["stages"]["classifier"] == why
    assert {reply.status_code for reply in well.values()} >= {200, 207, 400, 404, 405, 415}
    listed = {each["version"]: each for each in provoked.answers["bundles are broken"]["index"].json()}
    assert {version: each["state"] for version, each in listed.items()} == {
        "1": "READY",
        **dict.fromkeys("234", "UNAVAILABLE"),
    }
    assert listed["2"]["reason"].startswith("model.tflite ")
    assert listed["3"]["reason"].startswith("stage.json ")


def test_whoever_runs_it_is_told_in_full(provoked: Provoked) -> None:
    replicas = provoked.http.get("/v1/pipeline").json()["stages"][1]["replicas"]
    address = provoked.running.of("classifier")[0].url.removeprefix("http://")
    assert replicas[0]["reason"] == f"classifier cannot be reached ({address})"
    for said in (f"{provoked.models}/classifier/2/model.tflite", f"{provoked.models}/releases.json", address):
        assert said in provoked.log.text, said


def test_no_log_has_a_key_in_it_or_what_was_sent(provoked: Provoked) -> None:
    until(lambda: provoked.log.text.count('"event":"request"') > 100, 10)
    said = provoked.log.text
    assert said.count('"event":"request"') > 100
    assert provoked.secret not in said
    allowed = {PLACE, "canary-head"}  # in paths, and the name of a head that somebody asked for
    assert set(CANARY.findall(said)) <= allowed


def test_the_last_requests_say_nothing_of_what_was_sent(provoked: Provoked) -> None:
    said = provoked.http.get("/v1/requests")
    assert len(said.json()["requests"]) == 20
    assert CANARY.findall(said.text) == []
    assert leaks(said.text, *provoked.private) == []


def test_what_was_foreseen_leaves_no_stack_trace(provoked: Provoked) -> None:
    assert "Traceback" not in provoked.log.text


def test_every_answer_of_the_gateway_says_how_it_may_be_used(provoked: Provoked) -> None:
    at_the_door = {"a host that is none", "an odd host", "/%1b[2J%0d%0a"}  # refused before it gets to the gateway's app
    for when in ("all is well", "a stage is gone"):
        for name, reply in provoked.answers[when].items():
            assert not {"server", "x-powered-by"} & set(reply.headers), name
            assert not [header for header in reply.headers if header.startswith("access-control")], name
            if name not in at_the_door:
                assert reply.headers["x-content-type-options"] == "nosniff", name
                assert reply.headers["cache-control"] == "no-store", name


def _sent(address: tuple[str, int], request: bytes) -> str:
    """What a server says to bytes that no client of ours would send."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        said = b""
        while chunk := connection.recv(1 << 16):
            said += chunk
    return said.decode(errors="replace")


def test_a_query_of_no_text_is_an_unknown_route_like_any_other(provoked: Provoked) -> None:
    url = httpx.URL(provoked.running.gateway.url)
    asked = f"GET /nothing?QUERY HTTP/1.1\r\nhost: {url.host}\r\nauthorization: Bearer {provoked.key}\r\n\r\n"
    said = _sent((url.host, url.port or 80), asked.encode().replace(b"QUERY", b"\xff\xfe"))
    assert said.startswith(("HTTP/1.1 404", "HTTP/1.1 400")), said
    assert "Traceback" not in provoked.log.text


def test_what_is_no_http_is_answered_without_a_word_too_many_and_does_not_flood_the_log(provoked: Provoked) -> None:
    url = httpx.URL(provoked.running.gateway.url)
    address = (url.host, url.port or 80)
    before = len(provoked.log.text.splitlines())
    for request in (
        b"canary-nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : canary-x\r\n\r\n",
    ):
        for _ in range(300):
            said = _sent(address, request)
            assert not leaks(said, *provoked.private), said
            assert "server:" not in said.lower()
    time.sleep(0.5)
    assert len(provoked.log.text.splitlines()) - before < 150
    assert "canary-nonsense" not in provoked.log.text
