"""Proves bundles on samples and random inputs that the uncut model answers; the proof goes into their manifests."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitway.api.accuracy import Measured
from splitway.api.before import check_samples
from splitway.api.picture_files import read_picture
from splitway.api.picture_folders import class_folders, pictures_of
from splitway.bundle import Bundle, load_bundle, write_manifest
from splitway.bundle_graph import check_follow
from splitway.errors import (
    BundleError,
    EngineFailed,
    InvalidInput,
    ModelError,
    ProofError,
    SetupError,
    SplitwayError,
    TooLarge,
    in_one_line,
    reason_of,
)
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.manifest import EngineName, Manifest, Preprocessing, Proof
from splitway.names import PIXELS, PROBABILITIES
from splitway.process.progress import counted
from splitway.runtime.inprocess import InProcessStage, in_turn
from splitway.splitter.export import export_engines
from splitway.splitter.graph import Graph, Part
from splitway.splitter.pack import Say
from splitway.splitter.proof.proof_inputs import find_ranges, picture_inputs, random_inputs, rows_named, tensor_inputs
from splitway.splitter.proof.prove import (
    HALF_PRECISION_TOLERANCE,
    TOLERANCE,
    Answers,
    Question,
    check_answers,
    check_finite,
    in_batches,
    prove,
)
from splitway.splitter.proof.samples import FORMATS, NO_SAMPLES, Samples, read_samples
from splitway.splitter.readers.foreign import said
from splitway.splitter.readers.loaded import LoadedModel

_UNCUT_BATCH = 8


def find_samples(samples: Path | None, graph: Graph, preprocessing: Preprocessing | None) -> Samples:
    """Read samples as the model takes them, and the answers of its author. Raises BundleError, SetupError."""
    if samples is None:
        return NO_SAMPLES
    check_samples(samples)
    if samples.is_dir() and preprocessing is None:
        raise SetupError(f"the model takes no pictures, and {samples} is a folder: name a file ({', '.join(FORMATS)})")
    if samples.is_dir() and preprocessing is not None:
        pixels = _sample_pixels(samples, preprocessing)
        return Samples(dict.fromkeys(graph.inputs, picture_inputs(pixels, preprocessing, 0)) if pixels else {}, {})
    also = {} if preprocessing is None else {PIXELS: next(iter(graph.inputs))}
    only = next(iter(graph.outputs)) if len(graph.outputs) == 1 else None
    return read_samples(samples, graph.inputs, graph.outputs, also if only is None else {**also, PROBABILITIES: only})


def _sample_pixels(samples: Path, preprocessing: Preprocessing) -> list[NDArray[np.uint8]]:
    """Decode them. Of folders with classes, odd ones are left out: the measurement of the accuracy says which."""
    may_lack, pixels = class_folders(samples) is not None, []
    decode = PictureDecoder(preprocessing, PictureLimits())
    for path in counted(pictures_of(samples)):
        try:
            pixels.append(decode(read_picture(path)))
        except (OSError, InvalidInput, TooLarge) as error:
            if not may_lack:
                raise SetupError(f"{path} cannot be used as a sample: {reason_of(error)}") from error
    return pixels


def ask(model: LoadedModel, preprocessing: Preprocessing | None, shown: Samples, say: Say) -> Question:
    """Ask the uncut model with the inputs that the pieces will get: samples, and random ones.

    Raises:
        ModelError, ProofError: it has no answer, or another than its author says.
    """
    asked = []
    if shown.inputs:
        with rows_named(model.graph, model.run, shown):
            known = _answered(model, shown.inputs)
        _check_rows(known)
        check_answers(known.expected, shown.answers, known.tolerance, str(shown.path))
        asked.append(known)
    try:
        asked.append(_answered(model, _random_inputs(model, preprocessing)))
    except (ModelError, ProofError) as error:
        if not asked:
            advice = "a folder of pictures" if preprocessing is not None else f"a file of rows ({', '.join(FORMATS)})"
            raise type(error)(
                f"{error.detail}; it was asked with random inputs: give --samples, {advice} that it works on"
            ) from error
        say(f"only the samples are proved on, for with random inputs {error.detail}")
    _check_rows(asked[-1])
    inputs, expected = _joined([each.inputs for each in asked]), _joined([each.expected for each in asked])
    if preprocessing is not None:
        inputs = {PIXELS: next(iter(inputs.values()))}
    return replace(asked[0], inputs=inputs, expected=expected)


def _check_rows(asked: Question) -> None:
    for name, array in asked.expected.items():
        if array.shape[:1] != (asked.rows,):
            raise ModelError(
                f"the model gives {len(array)} rows of {name!r} for {asked.rows}: it must give one for each"
            )


def _random_inputs(model: LoadedModel, preprocessing: Preprocessing | None) -> Answers:
    graph = model.graph
    count = random_inputs(graph)
    if preprocessing is not None:
        return dict.fromkeys(graph.inputs, picture_inputs([], preprocessing, count))
    graph.ranges = find_ranges(graph, model.run)
    return tensor_inputs(graph, count)


def _joined(parts: list[Answers]) -> Answers:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _answered(model: LoadedModel, inputs: Answers) -> Question:
    """Ask the uncut model. Raises ModelError, ProofError if its answer is not usable."""
    try:
        expected = in_batches(model.run, inputs, _UNCUT_BATCH)
    except (SplitwayError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever the model's own layers raise
        raise ModelError(f"the uncut model itself cannot be run: {said(error)}") from error
    check_finite(expected)
    half = any(wire.dtype in ("float16", "bfloat16") for step in model.graph.steps for wire in step.gives)
    return Question(inputs, expected, HALF_PRECISION_TOLERANCE if half else TOLERANCE)


def prove_folders(
    whole: Part, folders: list[Path], question: Question, say: Say, measured: Measured | None = None
) -> list[Manifest]:
    """Prove the bundles in the folders, and write the proof and its engine into each manifest.

    Args:
        whole: the uncut model, with the names that the bundles have at their ends.
        folders: of the bundles, in order.
        question: what is asked, and what the uncut model answers.
        measured: measures the accuracy of what is served; without it the one that was measured before is kept.

    Raises:
        BundleError: they do not follow each other.
        ProofError: they differ from the uncut model; the manifests stay as they were.
    """
    bundles = [load_bundle(folder) for folder in folders]
    for before, after in pairwise(bundles):
        check_follow(before, after)
    try:
        proof = _prove(whole, bundles, question, say, measured)
    except (ProofError, BundleError, EngineFailed) as error:
        if all(bundle.manifest.engine == "tensorflow" for bundle in bundles):
            raise
        say(f"in LiteRT {in_one_line(error)}; trying TensorFlow")
        bundles = [Bundle(b.folder, b.manifest.model_copy(update={"engine": "tensorflow"}), b.labels) for b in bundles]
        proof = _prove(whole, bundles, question, say, measured)
    proved = [bundle.manifest.model_copy(update={"proof": proof}) for bundle in bundles]
    for folder, manifest in zip(folders, proved, strict=True):
        write_manifest(folder, manifest)
    return proved


def _prove(whole: Part, bundles: list[Bundle], question: Question, say: Say, measured: Measured | None) -> Proof:
    engines = sorted({bundle.manifest.engine for bundle in bundles})
    stages = [InProcessStage(bundle) for bundle in bundles]
    same = None
    if len(engines) == 1:
        say(f"exporting the uncut model, to compare within {engines[0]}")
        same = _uncut_in_engine(whole, bundles, question, engines[0])
    say(f"proving the cut on {question.rows} inputs")
    served = partial(in_turn, stages)
    proof, before = prove(served, question, "+".join(engines), same), bundles[-1].manifest.proof
    if measured is None:
        return proof.model_copy(update={"accuracy": None if before is None else before.accuracy})
    say("measuring the accuracy")
    return proof.model_copy(update={"accuracy": measured(served)})


def _uncut_in_engine(whole: Part, bundles: list[Bundle], question: Question, engine: EngineName) -> Answers | None:
    """The answers of the uncut model in the serving engine; None if that engine cannot run it."""
    first, last = bundles[0].manifest, bundles[-1].manifest
    with tempfile.TemporaryDirectory(prefix="splitway-") as name:
        folder = Path(name)
        try:
            files = export_engines(whole, folder, (engine,))
            update = {"outputs": last.outputs, "engine_files": files, "engine": engine}
            uncut = InProcessStage(Bundle(folder, first.model_copy(update=update), ()))
            return in_batches(uncut, question.inputs, _UNCUT_BATCH)
        except (ModelError, BundleError, EngineFailed):
            return None
