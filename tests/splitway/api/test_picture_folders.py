"""Pictures are told by their bytes; all that is left out is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitway.api.picture_folders import class_folders, find_pictures, plain_pictures
from splitway.errors import SetupError
from testkit.support import picture

JPEG, WEBP = b"\xff\xd8\xff\xe0" + bytes(20), b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for label in ("cats", "dogs"):
        (tmp_path / label / "more" / "deep").mkdir(parents=True)
        (tmp_path / label / "a.jfif").write_bytes(JPEG)
        (tmp_path / label / "b").write_bytes(picture())
        (tmp_path / label / "more" / "deep" / "c.webp").write_bytes(WEBP)
    return tmp_path


def test_bytes_decide_and_folders_inside_are_taken(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimetypes.guess_type", lambda *_: (None, None))
    found = find_pictures(images)
    assert {label: len(files) for label, files in found.pictures.items()} == {"cats": 3, "dogs": 3}
    assert {found.label_of(file) for file in found.files} == {"cats", "dogs"}
    assert not found.left_out


def test_what_is_left_out_has_its_reason(images: Path) -> None:
    cats = images / "cats"
    (cats / "notes.jpg").write_text("no picture at all")
    (cats / "x.gif").write_bytes(b"GIF89a" + bytes(10))
    (cats / "x.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(8))
    (cats / "empty.png").touch()
    (cats / ".DS_Store").write_bytes(JPEG)
    (cats / "link.jpg").symlink_to(cats / "a.jfif")
    (cats / "inside").symlink_to(images / "dogs")
    os.mkfifo(cats / "pipe.jpg")
    (images / "readme.txt").touch()
    (images / ".cache").mkdir()
    found = find_pictures(images)
    reasons = {str(path.relative_to(images)): why for path, why in found.left_out.items()}
    assert reasons["cats/notes.jpg"] == "no picture"
    assert "GIF" in reasons["cats/x.gif"]
    assert "HEIC" in reasons["cats/x.heic"]
    assert reasons["cats/empty.png"] == "empty"
    assert reasons["cats/.DS_Store"] == reasons[".cache"] == "hidden"
    assert "link" in reasons["cats/link.jpg"]
    assert "link" in reasons["cats/inside"]
    assert "pipe" in reasons["cats/pipe.jpg"]
    assert "no class" in reasons["readme.txt"]
    assert len(found.pictures["cats"]) == 3


def test_too_few_say_what_was_left_out(images: Path) -> None:
    (images / "birds").mkdir()
    (images / "birds" / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(SetupError, match=r"birds has 0 pictures.*left out there: a picture in GIF"):
        find_pictures(images)


def test_one_picture_of_a_class_is_enough_where_none_is_held_out(images: Path) -> None:
    for path in (*sorted((images / "dogs").rglob("*.*"))[:1], images / "dogs" / "b"):
        path.unlink()
    with pytest.raises(SetupError, match=r"dogs has 1 pictures: at least 2 are needed"):
        find_pictures(images)
    assert len(find_pictures(images, least=1).pictures["dogs"]) == 1


def test_a_folder_with_pictures_in_it_has_no_classes(images: Path) -> None:
    assert class_folders(images) is not None
    assert plain_pictures(images) is None
    (images / "one.png").touch()
    assert class_folders(images) is None
    assert plain_pictures(images) == images


def test_one_folder_too_deep_or_too_high_is_told_with_the_one_that_is_meant(images: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=rf"cats holds 3 pictures of one class: give the folder above, {images}$"):
        find_pictures(images / "cats")
    (tmp_path / "data").mkdir()
    for label in ("cats", "dogs"):
        (tmp_path / label).rename(tmp_path / "data" / label)
    with pytest.raises(SetupError, match=rf"has 1 folder in it: .*; did you mean {tmp_path}/data\?"):
        find_pictures(tmp_path)
