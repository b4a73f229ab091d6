"""`splitway classify --in-process`: the whole chain in this process, with the answers that the gateway would give."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from splitway.answers.classes.best import best_classes
from splitway.answers.classes.kind import gives_classes
from splitway.answers.classes.predictions import read_predictions
from splitway.bundle import Bundle
from splitway.bundle_graph import Chain, FoundBundle, find_chain
from splitway.cli.ask.classify import PictureResult
from splitway.cli.ask.pictures import read_picture
from splitway.cli.console import tensorflow_hushed
from splitway.environment import read_environment
from splitway.errors import InvalidInput, RequestError, ServingError, SetupError
from splitway.names import ALL_HEADS, PROBABILITIES
from splitway.runtime.arrays import Arrays
from splitway.runtime.catalog.trust import trusted_keys
from splitway.runtime.inprocess_chain import InProcessChain
from splitway.runtime.settings import StageSettings
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
    settings = read_environment(StageSettings)
    extractor, bodies, tops = chain.load(chosen, trusted_keys(settings))
    with tensorflow_hushed():
        loaded = InProcessChain(extractor, bodies, tops, settings)
    speaker = _Speaker(loaded, {top.manifest.name: top for top in tops}, top_k, by_head=bool(heads))
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
    names = list(heads) or [chain.default_head]
    for name in names:
        if name not in chain.heads:
            near = difflib.get_close_matches(name, chain.heads, n=3) or chain.heads
            raise SetupError(f"there is no head {name!r}; did you mean {', '.join(map(repr, near))}?")
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

    def __init__(self, chain: InProcessChain, heads: dict[str, Bundle], top_k: int, *, by_head: bool) -> None:
        self._chain = chain
        self._heads = heads
        self._top_k = top_k
        self._by_head = by_head
        trunk = [b.manifest for b in chain.bundles if by_head is False or b.manifest.role != "head"]
        self._model = {m.name: m.version for m in trunk} | {"feature_space": chain.feature_space}

    def reply(self, picture: bytes) -> dict[str, Any]:
        """Raises RequestError, ServingError."""
        if not picture:
            raise InvalidInput("the file is empty")
        started_s = time.perf_counter()
        features = self._chain.features(picture)
        if self._by_head:
            said = {"heads": {name: self._entry(head, features) for name, head in self._heads.items()}}
        else:
            (head,) = self._heads.values()
            said = self._answer(head, features)
        total_ms = round((time.perf_counter() - started_s) * 1000, 3)
        return {**said, "model": self._model, "timings_ms": {"total": total_ms}}

    def _entry(self, head: Bundle, features: Arrays) -> dict[str, Any]:
        """What one of several heads says; a failure is its own."""
        try:
            return {"status": 200, **self._answer(head, features), "version": head.manifest.version}
        except (RequestError, ServingError) as error:
            told = {"code": error.code, "title": error.title, "detail": error.in_full}
            return {"status": CHAIN_STATUSES[error.code], "error": told}

    def _answer(self, head: Bundle, features: Arrays) -> dict[str, Any]:
        outputs = self._chain.head(head.manifest.name, features)
        said = best_classes(outputs[PROBABILITIES], self._top_k, head.labels)
        first, *others = read_predictions(head.manifest.name, said, self._top_k)
        predictions = [asdict(each) for each in (first, *others)]
        return {"label": first.label, "confidence": first.confidence, "predictions": predictions}
