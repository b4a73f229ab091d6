"""A whole chain of bundles as one function in this process: no server, and no bytes between the stages."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.bundle_graph import Chain, check_follow
from splitway.environment import read_environment
from splitway.errors import InvalidInput, SetupError, UnfitInput
from splitway.kinds.image.decode import PictureDecoder, accepted_pictures, to_model_input
from splitway.names import IMAGE
from splitway.runtime.batching.unfit import renamed
from splitway.runtime.engines.load import load_engine, warm_up
from splitway.runtime.engines.tested import TestedEngine, answer
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import InputCheck
from splitway.wire.tensor import BYTES, DATATYPES, Arrays, Tensor, TensorSpec, numpy_dtype

Inputs = Mapping[str, Any]
"""Rows by the name of the input: encoded pictures as a sequence of bytes, numbers as an array or nested lists."""


class Pipeline:
    """Extractor, bodies and heads as one function: rows of inputs in, every head's outputs out.

    It may be called from several threads, which take turns.

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
        for before, body in pairwise((extractor, *bodies)):
            check_follow(before, body)
        last = (extractor, *bodies)[-1]
        for head in heads:
            check_follow(last, head)
        self.bundles = (extractor, *bodies, *heads)
        """The loaded bundles, in the order of the stages."""
        self.labels = {head.manifest.name: head.labels for head in heads}
        """The names of each head's classes, in order; none for a head that has no labels."""
        self.thresholds = {head.manifest.name: head.manifest.threshold for head in heads}
        """The least probability of a label that each multi-label head gives; None for a head that is none."""
        self.feature_space = str(last.manifest.gives)
        """The space of the features that the heads take."""
        self._inputs = _InputReader(extractor, settings)
        self.takes = self._inputs.accepts
        """The accepted inputs: exactly those of one of these alternatives."""
        self.heads = {head.manifest.name: head.manifest.outputs for head in heads}
        """The outputs of each head, by its name."""
        self._trunk = [_load(bundle, settings) for bundle in (extractor, *bodies)]
        self._heads = {head.manifest.name: _load(head, settings) for head in heads}
        self._turn = threading.RLock()

    def __call__(self, inputs: Inputs, heads: Iterable[str] | None = None) -> dict[str, dict[str, NDArray[Any]]]:
        """Return the outputs of the heads, all or some by name: `{head: {output: array}}`, a row for each row of input.

        Raises:
            InvalidInput: the inputs are not what the extractor takes, or the model cannot answer them.
            TooLarge: a picture is over a limit.
            SetupError: there is no such head.
            EngineFailed: a model cannot be run.
        """
        names = known_heads(self._heads, heads)
        with self._turn:
            features = self.features(inputs)
            return {name: self.head(name, features) for name in names}

    def features(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """Return what the heads are given for these inputs. Raises as a call does."""
        arrays = self._inputs(inputs)
        with self._turn:
            try:
                features = answer(self._trunk[0], arrays)
            except UnfitInput as error:
                raise (renamed(error, IMAGE) if IMAGE in inputs else error) from error
            for engine in self._trunk[1:]:
                features = answer(engine, features)
        return features

    def head(self, name: str, features: Arrays) -> dict[str, NDArray[Any]]:
        """Return what one head gives for features. Raises as a call does."""
        with self._turn:
            return answer(self._heads[name], features)


def load_chain(chain: Chain, heads: Iterable[str] | None = None) -> Pipeline:
    """Load a chain with all or some of its heads, as the settings of a stage say. Raises as `splitway.load` says."""
    settings = read_environment(StageSettings)
    names = known_heads(chain.heads, heads)
    return Pipeline(*chain.load(names, settings.trusted_keys), settings)


def known_heads(heads: Mapping[str, Any], names: Iterable[str] | None) -> list[str]:
    """The names that are asked for, or all. Raises SetupError for one that there is not."""
    if isinstance(names, str):
        raise SetupError(f"heads are a list of names, such as [{names!r}], not one text")
    wanted = list(heads if names is None else names)
    for name in wanted:
        if name not in heads:
            near = difflib.get_close_matches(name, heads, n=3) or heads
            raise SetupError(f"there is no head {name!r}; did you mean {', '.join(map(repr, near))}?")
    return wanted


class _InputReader:
    """Turns the caller's inputs into the extractor's."""

    def __init__(self, extractor: Bundle, settings: StageSettings) -> None:
        manifest = extractor.manifest
        self._target = manifest.preprocessing
        self._decode = None if self._target is None else PictureDecoder(self._target, settings.picture_limits)
        self._model_input = manifest.inputs[0].name
        tensors = (tuple(entry.spec for entry in manifest.inputs),)
        self.accepts = tensors if self._target is None else accepted_pictures(self._target)
        self._check = InputCheck(self.accepts, manifest.inputs)

    def __call__(self, inputs: Inputs) -> Arrays:
        specs = self._check.alternative(list(inputs))
        tensors = [_tensor(specs[name], rows) for name, rows in inputs.items()]
        self._check.check(tensors, specs)
        if self._target is None or self._decode is None:
            return {tensor.name: tensor.array for tensor in tensors}
        (given,) = tensors
        encoded = given.datatype == BYTES
        pixels = np.stack([self._decode(picture) for picture in given.elements]) if encoded else given.array
        return {self._model_input: to_model_input(pixels, self._target)}


def _tensor(spec: TensorSpec, rows: Any) -> Tensor:
    """Rows as the input's tensor; nested lists become its datatype, arrays keep theirs. Raises InvalidInput."""
    if spec.datatype == BYTES:
        return _encoded(spec.name, rows)
    try:
        array = rows if isinstance(rows, np.ndarray) else np.asarray(rows, numpy_dtype(spec.name, spec.datatype))
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(f"{spec.name!r} cannot be made {spec.datatype}: {error}") from error
    if array.dtype.newbyteorder("<") not in DATATYPES:
        raise InvalidInput(f"{spec.name!r} must be {spec.datatype}, not an array of {array.dtype}")
    return Tensor.of_array(spec.name, np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def _encoded(name: str, rows: Any) -> Tensor:
    if isinstance(rows, bytes | bytearray | memoryview | str) or not isinstance(rows, Sequence):
        raise InvalidInput(
            f"{name!r} must be a list with the bytes of a picture for each row, not {type(rows).__name__}"
        )
    for row, picture in enumerate(rows):
        if not isinstance(picture, bytes | bytearray | memoryview):
            raise InvalidInput(f"{name!r}: row {row} must be the bytes of a picture, not {type(picture).__name__}")
    return Tensor.of_bytes(name, rows)


def _load(bundle: Bundle, settings: StageSettings) -> TestedEngine:
    manifest = bundle.manifest
    engine = load_engine(settings.engine_for(manifest), bundle, settings.engine_threads(manifest.role))
    warm_up(engine, bundle)
    return TestedEngine(engine, manifest.inputs)
