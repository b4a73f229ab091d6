"""Both bundles as one function, for comparisons. Reads what stages read, so it needs what serving needs."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from splitway.bundle import FEATURES, PROBABILITIES, Bundle
from splitway.errors import BundleError
from splitway.preprocessing import PictureDecoder, PictureLimits, to_model_input
from splitway.runtime.engine import Engine, load_engine, warm_up
from splitway.runtime.settings import StageSettings
from splitway.wire.tensor import Buffer


class InProcessChain:
    """Both bundles as one function, an encoded picture in, probabilities out: no server and no bytes between them.

    Args:
        extractor, head: what would be served, of one feature space.
        settings: what the served stages would read: engine, threads, limits of a picture.

    Raises:
        BundleError: the two do not belong together, or cannot be loaded.
    """

    def __init__(self, extractor: Bundle, head: Bundle, settings: StageSettings) -> None:
        preprocessing = extractor.manifest.preprocessing
        spaces = [bundle.manifest.feature_space for bundle in (extractor, head)]
        if spaces[0] != spaces[1]:
            raise BundleError(f"{extractor.folder} gives features of {spaces[0]}, {head.folder} takes {spaces[1]}")
        if preprocessing is None:
            raise BundleError(f"{extractor.folder}: an extractor's manifest must say how pictures are preprocessed")
        self.extractor, self.head = extractor.manifest, head.manifest
        self._preprocessing = preprocessing
        self._decode = PictureDecoder(
            preprocessing, PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels)
        )
        self._backbone = _load(extractor, settings)
        self._top = _load(head, settings)

    def __call__(self, picture: Buffer) -> NDArray[Any]:
        """Return the probabilities of one picture. Raises InvalidInput, TooLarge or EngineFailed."""
        pixels = to_model_input(self._decode(picture)[None], self._preprocessing)
        features = self._backbone.infer({self.extractor.inputs[0].name: pixels})[FEATURES]
        probabilities: NDArray[Any] = self._top.infer({FEATURES: features})[PROBABILITIES][0]
        return probabilities


def _load(bundle: Bundle, settings: StageSettings) -> Engine:
    manifest = bundle.manifest
    engine = load_engine(settings.engine_for(manifest), bundle, settings.engine_threads(manifest.role))
    warm_up(engine, bundle)
    return engine
