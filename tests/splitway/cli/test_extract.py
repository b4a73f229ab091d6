"""Features are all of one version and one feature space, or none."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pytest

from splitway.cli.console import Steps
from splitway.cli.extract import Hop, extract
from splitway.errors import SetupError
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, InferResponse, build_response, parse_request


class _Extractor(ThreadingHTTPServer):
    """Gives each picture's size as its features; refuses empty ones, and is another version after `swap_after`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.swap_after = 1 << 30
        self.overloaded = 0
        self.answered = 0
        self.lock = Lock()

    @property
    def hop(self) -> Hop:
        return Hop("feature_extractor", f"http://127.0.0.1:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: _Extractor

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
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


def test_an_overloaded_extractor_is_asked_again(
    extractor: _Extractor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splitway.cli.extract._PAUSE_S", 0.0)
    extractor.overloaded = 2
    with Steps() as steps:
        assert len(extract([extractor.hop], files, steps).files) == 30


def test_pictures_none_of_which_can_be_read_are_told(extractor: _Extractor, files: list[Path]) -> None:
    for file in files:
        file.write_bytes(b"")
    with Steps() as steps, pytest.raises(SetupError, match="not one of the 30 pictures"):
        extract([extractor.hop], files, steps)
