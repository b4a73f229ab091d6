"""Commands read pictures from files, and from nothing that may never end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from splitway.api.picture_files import read_picture
from splitway.cli.ask.classify import classify_files
from splitway.cli.ask.classify_in_process import classify_in_process
from splitway.cli.bench.load import BenchTarget, read_pictures
from splitway.local.runs import LocalGateway
from testkit.support import splitway
from tests.splitway.cli.fake_gateway import Asked, fake_gateway


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _folder(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.fixture(params=[(_pipe, "a pipe"), (_socket, "a socket"), (_folder, "a folder"), (_device, "a device")])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """Something with a picture's name that is no file, and what it is."""
    make: Callable[[Path], None]
    make, kind = request.param
    make(tmp_path / "cat.jpg")
    return tmp_path / "cat.jpg", kind


def test_a_file_is_read_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "link.jpg").symlink_to("cat.jpg")
    assert read_picture(tmp_path / "link.jpg") == b"cat"


def test_what_is_no_file_is_refused_at_once(odd: tuple[Path, str]) -> None:
    path, kind = odd
    with pytest.raises(OSError, match=f"it is {kind}, not a file"):
        read_picture(path)


def test_it_fails_alone_and_is_not_sent(odd: tuple[Path, str], models: Path) -> None:
    path, kind = odd
    asked: list[Asked] = []
    with fake_gateway(seen=asked) as url:
        results = [*classify_files([path], url, top_k=1), *classify_in_process([path], models, [], top_k=1)]
    assert [f"cannot be read: it is {kind}" in str(result.error) for result in results] == [True, True]
    assert asked == []


def test_bench_takes_none_either(odd: tuple[Path, str]) -> None:
    with pytest.raises(OSError, match=odd[1]):
        read_pictures(BenchTarget([odd[0]], LocalGateway("http://127.0.0.1:1")))


def test_the_command_ends(odd: tuple[Path, str]) -> None:
    with fake_gateway() as url:
        done = splitway("classify", odd[0], "--url", url)
    assert (done.returncode, odd[1] in done.stderr) == (1, True)
