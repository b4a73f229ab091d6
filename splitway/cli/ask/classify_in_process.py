"""`splitway classify --in-process`: the whole chain in this process, with the answers that the gateway would give."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from splitway.answers.classes.best import best_classes
from splitway.answers.classes.predictions import gives_classes, read_predictions
from splitway.api.picture_files import read_picture
from splitway.api.pipeline import Pipeline, known_heads, load_chain
from splitway.bundle_graph import Chain, FoundBundle, find_chain
from splitway.cli.ask.classify import PictureResult
from splitway.cli.console import tensorflow_hushed
from splitway.errors import InvalidInput, RequestError, ServingError, SetupError
from splitway.names import ALL_HEADS, IMAGE, PROBABILITIES
from splitway.runtime.arrays import Arrays
from splitway.skins.v2_rest import CHAIN_STATUSES

_ASK_V2 = "start splitway up, and POST tensors to the gateway's /v2/models/pipeline/infer"


def classify_in_process(files: Sequence[Path], models: Path, heads: Sequence[str], top_k: int) -> list[PictureResult]:
    """Run each file through the chain that is found in the folder.

    Args:
        files: pictures.
        models: folder of the bundles.
        heads: names, or `*` for every head that gives classes; without any the default one answers.
        top_k: classes per picture and head.

    Raises:
        SplitwayError: there is no whole chain, it takes no pictures, or there is no such head.
    """
    chain = find_chain(models)
    _refuse_without_pictures(chain.extractor)
    chosen = _chosen(chain, heads)
    with tensorflow_hushed():
        pipeline = load_chain(chain, chosen)
    speaker = _Speaker(pipeline, chosen, top_k, by_head=bool(heads))
    return [_classify(speaker, file) for file in files]


def _refuse_without_pictures(extractor: FoundBundle) -> None:
    """Raise SetupError, with what a model takes that takes no pictures, and where it is asked."""
    if extractor.manifest.preprocessing is None:
        takes = ", ".join(f"{entry.name!r} {entry.datatype} {list(entry.shape)}" for entry in extractor.manifest.inputs)
        raise SetupError(f"{extractor.folder} takes {takes} and no picture, so classify cannot use it: {_ASK_V2}")


def _chosen(chain: Chain, heads: Sequence[str]) -> list[str]:
    with_classes = [name for name, head in chain.heads.items() if gives_classes(head.manifest.outputs)]
    if list(heads) == [ALL_HEADS] and with_classes:
        return with_classes
    names = known_heads(chain.heads, heads or [chain.default_head])
    for name in names:
        if name not in with_classes:
            raise SetupError(f"the head {name!r} gives no classes, so it cannot classify: {_ASK_V2}")
    return names


def _classify(speaker: _Speaker, file: Path) -> PictureResult:
    try:
        picture = read_picture(file)
    except OSError as error:
        return PictureResult(file, error=f"cannot be read: {error.strerror}")
    try:
        return PictureResult.of(file, speaker.reply(picture))
    except (RequestError, ServingError) as error:
        return PictureResult(file, error=error.in_full)


class _Speaker:
    """Says of a picture what the gateway says, but for what only a gateway has: request ids and hops."""

    def __init__(self, pipeline: Pipeline, heads: Sequence[str], top_k: int, *, by_head: bool) -> None:
        self._pipeline = pipeline
        self._versions = {b.manifest.name: b.manifest.version for b in pipeline.bundles}
        self._heads = heads
        self._top_k = top_k
        self._by_head = by_head
        named = {name: each for name, each in self._versions.items() if not (by_head and name in heads)}
        self._model = named | {"feature_space": pipeline.feature_space}

    def reply(self, picture: bytes) -> dict[str, Any]:
        """Raises RequestError, ServingError."""
        if not picture:
            raise InvalidInput("the file is empty")
        started_s = time.perf_counter()
        features = self._pipeline.features({IMAGE: [picture]})
        if self._by_head:
            said = {"heads": {name: self._entry(name, features) for name in self._heads}}
        else:
            (head,) = self._heads
            said = self._answer(head, features)
        total_ms = round((time.perf_counter() - started_s) * 1000, 3)
        return {**said, "model": self._model, "timings_ms": {"total": total_ms}}

    def _entry(self, head: str, features: Arrays) -> dict[str, Any]:
        """What one of several heads says; a failure is its own."""
        try:
            return {"status": 200, **self._answer(head, features), "version": self._versions[head]}
        except (RequestError, ServingError) as error:
            told = {"code": error.code, "title": error.title, "detail": error.in_full}
            return {"status": CHAIN_STATUSES[error.code], "error": told}

    def _answer(self, head: str, features: Arrays) -> dict[str, Any]:
        outputs = self._pipeline.head(head, features)
        said = best_classes(outputs[PROBABILITIES], self._top_k, self._pipeline.labels[head])
        first, *others = read_predictions(head, said, self._top_k)
        predictions = [asdict(each) for each in (first, *others)]
        return {"label": first.label, "confidence": first.confidence, "predictions": predictions}
