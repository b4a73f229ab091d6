"""The user's samples for a proof: a folder of pictures, or a file of rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitway.api.picture_files import read_picture
from splitway.errors import BundleError, SetupError
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.manifest import Preprocessing
from splitway.names import PIXELS, PROBABILITIES
from splitway.splitter.graph import Graph
from splitway.splitter.proof.proof_inputs import picture_inputs
from splitway.splitter.proof.samples import FORMATS, NO_SAMPLES, Samples, read_samples

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def find_samples(samples: Path | None, graph: Graph, preprocessing: Preprocessing | None) -> Samples:
    """Read samples as the model takes them, and the answers that its author expects for them.

    Raises:
        BundleError, SetupError: they cannot be read, or are not what the model takes.
    """
    if samples is None:
        return NO_SAMPLES
    if samples.is_dir() and preprocessing is None:
        raise SetupError(f"the model takes no pictures, and {samples} is a folder: name a file ({', '.join(FORMATS)})")
    if samples.is_dir() and preprocessing is not None:
        pixels = _sample_pixels(samples, preprocessing)
        return Samples(dict.fromkeys(graph.inputs, picture_inputs(pixels, preprocessing, 0)) if pixels else {}, {})
    if not samples.exists():
        raise BundleError(f"there is no folder of samples at {samples}, and no file")
    also = {} if preprocessing is None else {PIXELS: next(iter(graph.inputs))}
    only = next(iter(graph.outputs)) if len(graph.outputs) == 1 else None
    return read_samples(samples, graph.inputs, graph.outputs, also if only is None else {**also, PROBABILITIES: only})


def _sample_pixels(samples: Path, preprocessing: Preprocessing) -> list[NDArray[np.uint8]]:
    files = sorted(path for path in samples.iterdir() if path.suffix.lower() in PICTURES)
    decode = PictureDecoder(preprocessing, PictureLimits())
    return [decode(read_picture(path)) for path in files]
