"""Features are all of one version and one feature space, or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pytest

from splitway.cli.console import Steps
from splitway.cli.heads.extract import Hop, extract
from splitway.errors import SetupError
from splitway.names import TOKEN_HEADER
from splitway.security.identities.certificates import Certificates
from splitway.security.identities.tls import Identity
from splitway.wire.messages import InferResponse
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_response, parse_request


class _Extractor(ThreadingHTTPServer):
    """Gives each picture's size as its features; refuses empty ones, and is another version after `swap_after`."""

    daemon_threads = True
    scheme = "http"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.swap_after = 1 << 30
        self.overloaded = 0
        self.answered = 0
        self.takes: dict[str, object] | None = None
        """What its model takes; None if it does not say."""
        self.token: str | None = None
        """Without which nothing is done."""
        self.lock = Lock()

    @property
    def hop(self) -> Hop:
        return Hop("feature_extractor", f"{self.scheme}://127.0.0.1:{self.server_port}")

    def speak_tls(self, folder: Path, service: str) -> None:
        """Answer the gateway alone, as this service."""
        self.scheme = "https"
        self.socket = Identity(folder / service, service).server_context().wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a handshake that failed."""


class _Handler(BaseHTTPRequestHandler):
    server: _Extractor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.token is not None and self.headers[TOKEN_HEADER] != self.server.token:
            self._send(401, b'{"error": "no token"}')
            return
        request = parse_request(body, self.headers[HEADER_LENGTH])
        sizes = [len(element) for element in request.inputs[0].elements]
        with self.server.lock:
            if self.server.overloaded:
                self.server.overloaded -= 1
                self._send(503, b'{"error": "later"}')
                return
            if 0 in sizes:
                self._send(400, b'{"error": "not a picture"}')
                return
            version = "1" if self.server.answered < self.server.swap_after else "2"
            self.server.answered += 1
        space = {"feature_space": f"fs:{version * 16}"}
        features = Tensor.of_array("features", np.array(sizes, np.float32)[:, None], space)
        reply, length = build_response(InferResponse("feature_extractor", version, (features,)), request)
        self._send(200, reply, {HEADER_LENGTH: str(length)})

    def do_GET(self) -> None:
        takes = self.server.takes
        said = {"name": "feature_extractor", "versions": ["1"], "platform": "x", "outputs": [], "parameters": {}}
        self._send(404 if takes is None else 200, json.dumps({**said, "inputs": [takes]}).encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def extractor() -> Iterator[_Extractor]:
    with _Extractor() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Thirty files of 1 to 30 bytes."""
    made = [tmp_path / f"{size:02}.png" for size in range(1, 31)]
    for size, file in enumerate(made, 1):
        file.write_bytes(b"x" * size)
    return made


def test_each_row_is_its_pictures(extractor: _Extractor, files: list[Path]) -> None:
    with Steps() as steps:
        found = extract([extractor.hop], files, steps)
    assert found.files == tuple(files)
    assert found.features["features"][:, 0].tolist() == list(range(1, 31))
    assert found.origin.feature_space == f"fs:{'1' * 16}"


def test_a_bad_picture_is_found_among_those_it_was_sent_with(extractor: _Extractor, files: list[Path]) -> None:
    files[3].write_bytes(b"")
    files[20].unlink()
    with Steps() as steps:
        found = extract([extractor.hop], files, steps)
    assert set(found.unread) == {files[3], files[20]}
    assert found.unread[files[3]] == "not a picture"
    assert len(found.features["features"]) == len(found.files) == 28


def test_an_extractor_that_changes_meanwhile_stops_it(extractor: _Extractor, files: list[Path]) -> None:
    extractor.swap_after = 2
    with Steps() as steps, pytest.raises(SetupError, match=r"changed from version [12] .* meanwhile; start again"):
        extract([extractor.hop], files, steps)


def test_an_overloaded_extractor_is_asked_again(extractor: _Extractor, files: list[Path]) -> None:
    extractor.overloaded = 2
    with Steps() as steps:
        assert len(extract([replace(extractor.hop, pause_s=0.0)], files, steps).files) == 30


def test_pictures_none_of_which_can_be_read_are_told(extractor: _Extractor, files: list[Path]) -> None:
    for file in files:
        file.write_bytes(b"")
    with Steps() as steps, pytest.raises(SetupError, match="not one of the 30 pictures"):
        extract([extractor.hop], files, steps)


TOKEN = "token-of-all-the-services"  # noqa: S105 - of this test


def test_a_fault_of_the_machine_while_a_stage_is_asked_is_no_fault_of_a_picture(
    extractor: _Extractor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("splitway.cli.heads.extract._through", fails)
    with pytest.raises(OSError, match="No space left"), Steps() as steps:
        extract([extractor.hop], files, steps)


def test_a_stage_that_answers_its_gateway_alone_is_shown_the_token(
    extractor: _Extractor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor.token = TOKEN
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", f"{TOKEN}, the-one-before-it")
    with Steps() as steps:
        assert len(extract([extractor.hop], files, steps).files) == 30


@pytest.mark.parametrize("token", ["", "another-token-of-services"])
def test_without_its_token_a_stage_says_no_and_the_command_what_to_do(
    extractor: _Extractor, files: list[Path], token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor.token = TOKEN
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", token)
    with Steps() as steps, pytest.raises(SetupError, match="answered 401: no token; set SPLITWAY_SERVICE_TOKEN to"):
        extract([extractor.hop], files, steps)


def test_a_token_that_no_header_can_carry_is_not_printed(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", "half of\na token")
    with Steps() as steps, pytest.raises(SetupError, match="SPLITWAY_SERVICE_TOKEN must be one word") as caught:
        extract([Hop("feature_extractor", "http://127.0.0.1:1")], files, steps)
    assert "half" not in caught.value.detail


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with the certificates of the three services."""
    folder = tmp_path / "certs"
    Certificates(folder, lambda: datetime.now(UTC), lambda: None).create(["gateway", "feature_extractor", "classifier"])
    return folder


@pytest.fixture
def secret_extractor(certificates: Path) -> Iterator[_Extractor]:
    """An extractor that speaks TLS with the gateway."""
    with _Extractor() as server:
        server.speak_tls(certificates, "feature_extractor")
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_stages_that_speak_tls_are_shown_the_gateways_certificate(
    secret_extractor: _Extractor, certificates: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWAY_IDENTITY", str(certificates / "gateway"))
    with Steps() as steps:
        assert len(extract([secret_extractor.hop], files, steps).files) == 30


def test_another_stage_than_was_asked_for_is_told_by_its_certificate(
    secret_extractor: _Extractor, certificates: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPLITWAY_IDENTITY", str(certificates / "gateway"))
    asked = Hop("body_1", secret_extractor.hop.url)
    with (
        Steps() as steps,
        pytest.raises(SetupError, match="is feature_extractor, as its certificate says, and not body_1"),
    ):
        extract([asked], files, steps)


def test_without_a_certificate_the_command_says_which_is_needed(
    secret_extractor: _Extractor, files: list[Path]
) -> None:
    with Steps() as steps, pytest.raises(SetupError, match="SPLITWAY_IDENTITY must name the folder of the gateway"):
        extract([secret_extractor.hop], files, steps)


def test_a_stage_that_takes_no_pictures_is_named_with_what_it_takes(extractor: _Extractor, files: list[Path]) -> None:
    extractor.takes = {"name": "ages", "datatype": "FP32", "shape": [-1, 4]}
    with (
        Steps() as steps,
        pytest.raises(SetupError, match=r"takes ages FP32 \[-1, 4\] and no picture: train-head needs"),
    ):
        extract([extractor.hop], files, steps)
    assert extractor.answered == 0
    extractor.takes = {"name": "image", "datatype": "BYTES", "shape": [-1]}
    with Steps() as steps:
        assert len(extract([extractor.hop], files, steps).files) == len(files)
