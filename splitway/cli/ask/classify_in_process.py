"""`splitway classify --in-process`: the whole chain in this process, with the answers that the gateway would give."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splitway.answers.classes.best import best_classes
from splitway.answers.classes.predictions import gives_classes, in_answer, read_predictions
from splitway.api.pipeline import Pipeline, known_heads, load_chain
from splitway.bundle import load_bundle
from splitway.bundle_graph import Chain, FoundBundle, find_chain
from splitway.cli.ask.classify import DEFAULT_TOP_K, PictureResult
from splitway.cli.ask.given_pictures import read_given
from splitway.cli.ask.unread import why_unread
from splitway.cli.console import ERR, tensorflow_hushed
from splitway.environment import read_environment
from splitway.errors import BundleError, InvalidInput, RequestError, ServingError, SetupError
from splitway.names import ALL_HEADS, IMAGE, PROBABILITIES
from splitway.runtime.settings import StageSettings
from splitway.skins.v2_rest import CHAIN_STATUSES
from splitway.wire.tensor import Arrays

_ASK_V2 = "start splitway up, and POST tensors to the gateway's /v2/models/pipeline/infer"


def classify_in_process(
    files: Sequence[Path], models: Path, heads: Sequence[str], top_k: int | None
) -> list[PictureResult]:
    """Run each file through the chain in a folder: through these heads, all that give classes for `*`, or the default.

    Raises:
        SplitwayError: there is no whole chain, it takes no pictures, or there is no such head.
    """
    pipeline, chosen = _load_whole(models, heads)
    speaker = _Speaker(pipeline, chosen, top_k, by_head=bool(heads))
    return [_classify(speaker, file) for file in files]


def _load_whole(models: Path, heads: Sequence[str]) -> tuple[Pipeline, list[str]]:
    """Load the newest chain that is whole, as stages serve it, with the heads that are asked.

    Says on stderr which bundles are passed over. Raises SplitwayError as above; if no chain is whole, what is wrong
    with the newest.
    """
    damaged: dict[Path, BundleError] = {}
    while True:
        try:
            chain = find_chain(models, without=damaged)
        except BundleError as error:
            raise next(iter(damaged.values()), error) from None
        chosen = _checked(chain, heads)
        try:
            with tensorflow_hushed():
                pipeline = load_chain(chain, chosen)
        except BundleError:
            wrong = _damaged([chain.extractor, *chain.bodies, *(chain.heads[name] for name in chosen)])
            if not wrong:
                raise
            damaged |= wrong
            continue
        for folder, why in damaged.items():
            ERR.print(f"{folder} is passed over, as stages do: {why.detail}", style="yellow", markup=False)
        return pipeline, chosen


def _damaged(found: Sequence[FoundBundle]) -> dict[Path, BundleError]:
    wrong, keys = dict[Path, BundleError](), read_environment(StageSettings).trusted_keys
    for each in found:
        try:
            load_bundle(each.folder, keys=keys)
        except BundleError as error:
            wrong[each.folder] = error
    return wrong


def _checked(chain: Chain, heads: Sequence[str]) -> list[str]:
    """The heads that are asked. Raises SetupError for a chain that takes no pictures, or a head that there is not."""
    if (first := chain.extractor.manifest).preprocessing is None:
        takes = ", ".join(f"{entry.name!r} {entry.datatype} {list(entry.shape)}" for entry in first.inputs)
        raise SetupError(f"{chain.extractor.folder} takes {takes} and no picture, so classify cannot use it: {_ASK_V2}")
    return _chosen(chain, heads)


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
        picture = read_given(file)
    except OSError as error:
        return PictureResult(file, error=why_unread(error))
    try:
        return PictureResult.of(file, speaker.reply(picture))
    except (RequestError, ServingError) as error:
        return PictureResult(file, error=error.in_full)


@dataclass(frozen=True)
class _Speaker:
    """Says of a picture what the gateway says, but for what only a gateway has: request ids and hops."""

    pipeline: Pipeline
    heads: Sequence[str]
    top_k: int | None
    """None for the usual number, and of a multi-label head for every label that reaches its threshold."""
    by_head: bool

    def reply(self, picture: bytes) -> dict[str, Any]:
        """Raises RequestError, ServingError."""
        if not picture:
            raise InvalidInput("the file is empty")
        started_s = time.perf_counter()
        features = self.pipeline.features({IMAGE: [picture]})
        versions = {bundle.manifest.name: bundle.manifest.version for bundle in self.pipeline.bundles}
        if self.by_head:
            said = {"heads": {name: self._entry(name, features, versions[name]) for name in self.heads}}
        else:
            (head,) = self.heads
            said = self._answer(head, features)
        total_ms = round((time.perf_counter() - started_s) * 1000, 3)
        named = {name: each for name, each in versions.items() if not (self.by_head and name in self.heads)}
        model = named | {"feature_space": self.pipeline.feature_space}
        return {**said, "model": model, "timings_ms": {"total": total_ms}}

    def _entry(self, head: str, features: Arrays, version: str) -> dict[str, Any]:
        """What one of several heads says; a failure is its own."""
        try:
            return {"status": 200, **self._answer(head, features), "version": version}
        except (RequestError, ServingError) as error:
            told = {"code": error.code, "title": error.title, "detail": error.in_full}
            return {"status": CHAIN_STATUSES[error.code], "error": told}

    def _answer(self, head: str, features: Arrays) -> dict[str, Any]:
        outputs = self.pipeline.head(head, features)
        threshold = self.pipeline.thresholds[head]
        least = None if self.top_k is not None else threshold
        probabilities, top_k = outputs[PROBABILITIES], self.top_k or DEFAULT_TOP_K
        written = best_classes(probabilities, top_k, self.pipeline.labels[head], least)
        most = top_k if least is None else probabilities.shape[1]
        said = in_answer(read_predictions(head, written, most), threshold)
        return {**said, "predictions": [asdict(each) for each in said["predictions"]]}
