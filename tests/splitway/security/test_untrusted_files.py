from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from splitway.errors import BundleError
from splitway.security.untrusted_files import hash_inside, read_inside, stays_inside, walk_inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bundle" / "deep").mkdir(parents=True)
    (tmp_path / "bundle" / "deep" / "file").write_bytes(b"content")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "bundle"


def test_a_file_is_read_and_hashed(folder: Path) -> None:
    assert read_inside(folder, "deep/file", 7) == b"content"
    assert hash_inside(folder, "deep/file", 7) == (7, hashlib.sha256(b"content").hexdigest())


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/etc/passwd", "../secret", "deep/../../secret", "deep//file", "./deep/file", "deep/"),
        *("deep\\file", "deep/file\x00", "deep/\nfile", "a" * 300),
    ],
)
def test_a_path_that_leads_outside_or_is_written_oddly_is_refused(folder: Path, path: str) -> None:
    assert not stays_inside(path)
    with pytest.raises(BundleError, match="is outside"):
        read_inside(folder, path, 100)


def test_links_are_not_followed_wherever_they_stand(folder: Path) -> None:
    (folder / "to-file").symlink_to("deep/file")
    (folder / "out").symlink_to("../secret")
    (folder / "to-folder").symlink_to("deep")
    (folder / "nowhere").symlink_to("nothing")
    for path in ("to-file", "out", "to-folder/file", "nowhere"):
        for read in (read_inside, hash_inside):
            with pytest.raises(BundleError, match="links are not followed"):
                read(folder, path, 100)
    (folder.parent / "link").symlink_to(folder)
    assert read_inside(folder.parent / "link", "deep/file", 100) == b"content", "where to begin is not theirs"


def test_what_is_no_file_is_refused_without_waiting_for_it(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    for path, says in (("pipe", "no regular file"), ("socket", "cannot be read"), ("deep", "no regular file")):
        with pytest.raises(BundleError, match=says):
            read_inside(folder, path, 100)
    with pytest.raises(BundleError, match="is missing"):
        read_inside(folder, "deep/none", 100)


def test_no_more_is_read_than_is_allowed(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BundleError, match="1099511627776 bytes; 100 are allowed"):
        read_inside(folder, "sparse", 100)
    assert hash_inside(folder, "sparse", 100) == (1 << 40, "")


def test_everything_below_a_folder_is_found(folder: Path) -> None:
    (folder / "deep" / "link").symlink_to("/etc")
    os.mkfifo(folder / "deep" / "pipe")
    (folder / "deep" / "empty").mkdir()
    assert sorted(walk_inside(folder, "deep")) == ["deep/file", "deep/link", "deep/pipe"]
    (folder / "other").symlink_to("deep")
    assert list(walk_inside(folder, "other")) == ["other"]
    assert list(walk_inside(folder, "nothing")) == []
