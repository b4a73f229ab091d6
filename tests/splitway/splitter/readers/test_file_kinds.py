"""A file that is no model is told by its bytes, whatever it is called, with advice that helps."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import h5py
import pytest

from splitway.errors import ModelError
from splitway.splitter.readers.file_kinds import no_model
from splitway.splitter.readers.source import load_model


def _zip(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("saved/saved_model.pb"))
    return content.getvalue()


CONTENTS = {
    "empty": (b"", "empty"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(100), "TFLite"),
    "pytorch zip": (_zip("archive/data.pkl", "archive/data/0"), "PyTorch"),
    "pickle": (b"\x80\x02ctorch._utils\n" + bytes(50), "pickle"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x051.9.0", "ONNX"),
    "safetensors": (b"\x40\x00\x00\x00\x00\x00\x00\x00{" + b'"__metadata__":{}}', "weights alone"),
    "html": (b"\n<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "text": (b"Please log in to download.", "text"),
    "lines": (b"404:\n\tnot found\r\n" * 90, "text"),
    "git lfs from Windows": (b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\r\n", "git lfs pull"),
    "a SavedModel's graph": (b"\x08\x01\x12\xb0\x1c\x0a\x99" + bytes(50), "whole folder"),
    "zeros": (bytes(5000), "neither a .keras file nor HDF5: .*model.save"),
    "an empty zip": (_zip(), "neither a .keras file nor HDF5"),
    "json": (b'{"class_name": "Functional"}', "no weights"),
    "gzip": (gzip.compress(b"x" * 100), "gzip archive: unpack"),
    "tar": (_tar(), "tar archive: unpack"),
    "zipped SavedModel": (_zip("m/saved_model.pb"), "unpack it, and name the folder"),
    "zipped model": (_zip("m/flowers.keras"), "unpack it, and name that file"),
    "other zip": (_zip("a.txt"), "without config.json"),
    "cut zip": (_zip("config.json")[:40], "damaged or cut short"),
}


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.pt", "model"])
@pytest.mark.parametrize(("content", "says"), CONTENTS.values(), ids=CONTENTS)
def test_what_is_no_model_is_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=says) as raised:
        load_model(path, allow_legacy=True)
    assert "\n" not in raised.value.detail


def test_weights_alone_and_other_hdf5_files_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "trained.keras"
    with h5py.File(path, "w") as file:
        file.create_group("layers")
    assert "weights alone" in str(no_model(path))
    with h5py.File(path, "w") as file:
        file["pixels"] = [1.0]
    assert "holds no Keras model" in str(no_model(path))
    path.write_bytes(path.read_bytes()[:100])
    assert "damaged or cut short" in str(no_model(path))


def test_a_part_of_a_saved_model_leads_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert f"name its folder, {tmp_path}" in str(no_model(tmp_path / "saved_model.pb"))
