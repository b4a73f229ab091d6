"""The offline work behind `splitway build`, `split` and `verify`: make bundles, prove them, keep all or none."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from splitway.api.question import Question, as_classifier
from splitway.api.samples import find_samples
from splitway.api.source import SourceOptions, keep_source, load_and_show
from splitway.bundle import Bundle, load_bundle, staged, write_manifest
from splitway.bundle_graph import check_follow, find_chain
from splitway.errors import BundleError, EngineFailed, ModelError, ProofError, SplitwayError, in_one_line
from splitway.manifest import EngineName, Manifest, Preprocessing, Proof
from splitway.names import DEFAULT_HEAD, PIXELS
from splitway.runtime.inprocess import InProcessStage, in_turn
from splitway.splitter.cut import cut_model
from splitway.splitter.cuts import ROOM
from splitway.splitter.export import export_engines
from splitway.splitter.graph import Part
from splitway.splitter.pack import SOURCE, PackPlan, Say, pack, stage_names
from splitway.splitter.proof.chance import chance_named
from splitway.splitter.proof.proof_inputs import picture_inputs, random_inputs, tensor_inputs
from splitway.splitter.proof.prove import (
    HALF_PRECISION_TOLERANCE,
    TOLERANCE,
    Answers,
    check_answers,
    check_finite,
    in_batches,
    prove,
)
from splitway.splitter.proof.ranges import find_ranges, rows_named
from splitway.splitter.proof.samples import FORMATS, Samples
from splitway.splitter.readers.foreign import said
from splitway.splitter.readers.loaded import DEFAULT_PICTURE_SIZE, LoadedModel
from splitway.splitter.readers.source import fingerprint
from splitway.wire.room import Room

_UNCUT_BATCH = 8


@dataclass(frozen=True)
class SplitJob:
    """The model, its cuts, and the facts that go into the bundles."""

    model: LoadedModel
    at: tuple[str, ...]
    out: Path
    preprocessing: Preprocessing | None
    """Of the pictures that it takes; None where it takes other tensors."""
    labels: list[str] | None
    samples: Path | None
    version: str
    force: bool
    head: str = DEFAULT_HEAD
    room: Room = ROOM
    """What a request may carry where the bundles are served."""


def split(job: SplitJob, say: Say) -> list[Manifest]:
    """Cut, pack and prove. The bundles are put in place only if the proof holds.

    Raises:
        BundleError: the version is there already and `force` is not set.
        ModelError, ProofError: the model cannot be cut, or the pieces differ from it.
        SetupError: the files cannot be written.
    """
    say(f"cutting {job.model.name} at {', '.join(job.at)}")
    cut = cut_model(job.model.graph, job.at, job.room)
    targets = [job.out / name / job.version for name in stage_names(len(cut.parts), job.head)]
    for target in targets:
        if target.exists() and not job.force:
            raise BundleError(f"{target} is there already; use --force to replace it, or --version for another")
    say("asking the uncut model")
    shown = find_samples(job.samples, job.model.graph, job.preprocessing)
    question = _ask(job.model, job.preprocessing, shown, say)
    cut, question = as_classifier(cut, question)
    source_folder = job.out / SOURCE / f"{job.model.name}-{job.version}"
    with staged(*targets, source_folder) as (*folders, kept):
        source = keep_source(job.model, kept, source_folder, job.out)
        pack(cut, PackPlan(job.preprocessing, job.labels, source, job.version, job.head, job.room), folders, say)
        with chance_named(job.model.graph, job.model.run, question.inputs):
            return _prove_folders(cut.whole, folders, question, say)


def verify(
    models: Path, samples: Path | None, version: str | None, say: Say, allowed: SourceOptions | None = None
) -> list[Manifest]:
    """Prove bundles again and write the proof into their manifests.

    Raises:
        BundleError: a bundle or the uncut model is missing or damaged, or the stages are of different feature spaces.
        ProofError: the pieces differ from the uncut model; the manifests stay as they were.
    """
    folders, manifests = _of_one_source(models, version)
    source = manifests[0].source_model
    path = models / source.path
    if not path.resolve().is_relative_to(models.resolve()):
        raise BundleError(f"the uncut model {path} lies outside {models}: it is not read; split the model again")
    if not path.exists():
        raise BundleError(f"the uncut model {path} is missing; split the model again")
    if fingerprint(path) != source.sha256:
        raise BundleError(f"{path} is corrupted: its SHA-256 differs from the manifest; split the model again")
    preprocessing = manifests[0].preprocessing
    size = DEFAULT_PICTURE_SIZE if preprocessing is None else (preprocessing.height, preprocessing.width)
    model = load_and_show(path, replace(allowed or SourceOptions(), picture_size=size), say)
    graph = model.graph
    shown = samples or (None if preprocessing is None or allowed is None else allowed.pictures)
    question = _ask(model, preprocessing, find_samples(shown, graph, preprocessing), say)
    takes = dict(zip((entry.name for entry in manifests[0].inputs), graph.inputs.values(), strict=True))
    gives = dict(zip((entry.name for entry in manifests[-1].outputs), graph.outputs.values(), strict=True))
    named = dict(zip(gives, question.expected.values(), strict=True))
    whole = Part(takes, tuple(graph.steps), gives)
    with chance_named(graph, model.run, question.inputs):
        return _prove_folders(whole, folders, replace(question, expected=named), say)


def _of_one_source(models: Path, version: str | None) -> tuple[list[Path], list[Manifest]]:
    """The chain whose head was split from the same model as its extractor; a head trained later has another source."""
    chain = find_chain(models, version, {DEFAULT_HEAD: version} if version else None)
    source = chain.extractor.manifest.source_model
    heads = [head for head in chain.heads.values() if head.manifest.source_model == source]
    if not heads:
        named = ", ".join(str(head.folder) for head in chain.heads.values())
        raise BundleError(f"{named}: not split from {source.name}, as {chain.extractor.folder} was; name its --version")
    found = [chain.extractor, *chain.bodies, heads[0]]
    return [each.folder for each in found], [each.manifest for each in found]


def _ask(model: LoadedModel, preprocessing: Preprocessing | None, shown: Samples, say: Say) -> Question:
    """Ask the uncut model with the inputs that the pieces will get.

    Raises:
        ModelError, ProofError: it has no answer, or another than its author says.
    """
    graph = model.graph
    half = any(wire.dtype in ("float16", "bfloat16") for step in graph.steps for wire in step.gives)
    tolerance = HALF_PRECISION_TOLERANCE if half else TOLERANCE
    with rows_named(graph, model.run, shown):
        known = _answered(model, shown.inputs) if shown.inputs else None
    if known is not None:
        _check_rows(known)
        check_answers(known.expected, shown.answers, tolerance, str(shown.path))
    random = _random(model, preprocessing, known, say)
    asked = [each for each in (known, random) if each is not None]
    inputs, expected = _joined([each.inputs for each in asked]), _joined([each.expected for each in asked])
    if preprocessing is not None:
        inputs = {PIXELS: next(iter(inputs.values()))}
    return Question(inputs, expected, tolerance)


@dataclass(frozen=True)
class _Answered:
    """Rows of inputs, and the uncut model's answers."""

    inputs: Answers
    expected: Answers


def _random(
    model: LoadedModel, preprocessing: Preprocessing | None, known: _Answered | None, say: Say
) -> _Answered | None:
    """Random inputs. A model that works on samples may fail on these.

    Raises:
        ModelError, ProofError: it does not work on them, and nothing else is known that it works on.
    """
    graph = model.graph
    count = random_inputs(graph)
    try:
        if preprocessing is None:
            graph.ranges = find_ranges(graph, model.run)
            found = _answered(model, tensor_inputs(graph, count))
        else:
            found = _answered(model, dict.fromkeys(graph.inputs, picture_inputs([], preprocessing, count)))
    except (ModelError, ProofError) as error:
        if known is None:
            advice = "a folder of pictures" if preprocessing is not None else f"a file of rows ({', '.join(FORMATS)})"
            raise type(error)(
                f"{error.detail}; it was asked with random inputs: give --samples, {advice} that it works on"
            ) from error
        say(f"only the samples are proved on, for with random inputs {error.detail}")
        return None
    _check_rows(found)
    return found


def _joined(parts: list[Answers]) -> Answers:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _answered(model: LoadedModel, inputs: Answers) -> _Answered:
    """Ask the uncut model. Raises ModelError, ProofError if its answer is not usable."""
    try:
        expected = in_batches(model.run, inputs, _UNCUT_BATCH)
    except (SplitwayError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever the model's own layers raise
        raise ModelError(f"the uncut model itself cannot be run: {said(error)}") from error
    check_finite(expected)
    return _Answered(inputs, expected)


def _check_rows(asked: _Answered) -> None:
    rows = len(next(iter(asked.inputs.values())))
    for name, array in asked.expected.items():
        if array.shape[:1] != (rows,):
            raise ModelError(f"the model gives {len(array)} rows of {name!r} for {rows}: it must give one for each")


def _prove_folders(whole: Part, folders: list[Path], question: Question, say: Say) -> list[Manifest]:
    """Prove the bundles in the folders, and write the proof and its engine into each manifest."""
    bundles = [load_bundle(folder) for folder in folders]
    for before, after in pairwise(bundles):
        check_follow(before, after)
    manifests = [bundle.manifest for bundle in bundles]
    try:
        proof = _prove(whole, bundles, question, say)
    except (ProofError, BundleError, EngineFailed) as error:
        if all(manifest.engine == "tensorflow" for manifest in manifests):
            raise
        say(f"in LiteRT {in_one_line(error)}; trying TensorFlow")
        manifests = [manifest.model_copy(update={"engine": "tensorflow"}) for manifest in manifests]
        again = [Bundle(b.folder, m, b.labels) for b, m in zip(bundles, manifests, strict=True)]
        proof = _prove(whole, again, question, say)
    proved = [manifest.model_copy(update={"proof": proof}) for manifest in manifests]
    for folder, manifest in zip(folders, proved, strict=True):
        write_manifest(folder, manifest)
    return proved


def _prove(whole: Part, bundles: list[Bundle], question: Question, say: Say) -> Proof:
    engines = sorted({bundle.manifest.engine for bundle in bundles})
    stages = [InProcessStage(bundle) for bundle in bundles]
    same = None
    if len(engines) == 1:
        say(f"exporting the uncut model, to compare within {engines[0]}")
        same = _uncut_in_engine(whole, bundles, question, engines[0])
    rows = len(next(iter(question.inputs.values())))
    say(f"proving the cut on {rows} inputs")
    return prove(
        lambda inputs: in_turn(stages, inputs),
        question.expected,
        same,
        question.inputs,
        "+".join(engines),
        question.tolerance,
    )


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
