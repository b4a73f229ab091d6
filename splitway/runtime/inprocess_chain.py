"""A whole chain as one function. Reads what stages read, so it needs what serving needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from splitway.bundle import Bundle
from splitway.bundle_graph import check_follow
from splitway.errors import BundleError
from splitway.kinds.image.decode import PictureDecoder, to_model_input
from splitway.runtime.arrays import Arrays
from splitway.runtime.engines.base import warm_up
from splitway.runtime.engines.load import load_engine
from splitway.runtime.engines.tested import TestedEngine, answer
from splitway.runtime.settings import StageSettings
from splitway.wire.tensor import Buffer


class InProcessChain:
    """Extractor, bodies and heads as one function, an encoded picture in, every head's outputs out: no server and no
    bytes between them.

    Args:
        extractor: what would be served first.
        bodies: what would be served between it and the heads, in order.
        heads: what would be served last, all on the same features.
        settings: what the served stages would read: engine, threads, limits of a picture.

    Raises:
        BundleError: they do not belong together, or cannot be loaded.
    """

    def __init__(
        self, extractor: Bundle, bodies: Sequence[Bundle], heads: Sequence[Bundle], settings: StageSettings
    ) -> None:
        preprocessing = extractor.manifest.preprocessing
        for before, body in pairwise((extractor, *bodies)):
            check_follow(before, body)
        last = (extractor, *bodies)[-1]
        for head in heads:
            check_follow(last, head)
        if preprocessing is None:
            raise BundleError(f"{extractor.folder}: an extractor's manifest must say how pictures are preprocessed")
        self.bundles = (extractor, *bodies, *heads)
        self.feature_space = str(last.manifest.gives)
        """Of what the heads are given."""
        self._preprocessing = preprocessing
        self._decode = PictureDecoder(preprocessing, settings.picture_limits)
        self._input = extractor.manifest.inputs[0].name
        self._trunk = [_load(bundle, settings) for bundle in (extractor, *bodies)]
        self._heads = {head.manifest.name: _load(head, settings) for head in heads}

    def __call__(self, picture: Buffer, heads: Iterable[str] | None = None) -> dict[str, Arrays]:
        """Return what the heads, all or some by name, give for one picture: arrays of one row.

        Raises:
            InvalidInput, TooLarge: the picture cannot be decoded, or the model cannot answer it.
            EngineFailed: a model cannot be run.
        """
        features = self.features(picture)
        return {name: self.head(name, features) for name in (self._heads if heads is None else heads)}

    def features(self, picture: Buffer) -> Arrays:
        """Return what the heads are given of one picture. Raises as a call does."""
        arrays: Arrays = {self._input: to_model_input(self._decode(picture)[None], self._preprocessing)}
        for engine in self._trunk:
            arrays = answer(engine, arrays)
        return arrays

    def head(self, name: str, features: Arrays) -> Arrays:
        """Return what one head gives for features. Raises as a call does."""
        return answer(self._heads[name], features)


def _load(bundle: Bundle, settings: StageSettings) -> TestedEngine:
    manifest = bundle.manifest
    engine = load_engine(settings.engine_for(manifest), bundle, settings.engine_threads(manifest.role))
    warm_up(engine, bundle)
    return TestedEngine(engine, manifest.inputs)
