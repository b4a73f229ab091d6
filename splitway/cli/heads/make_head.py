"""What `splitway train-head` does once it has features: train, prove, pack, and say how good the head is."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.api.source import keep_source
from splitway.bundle import load_bundle, read_manifest, staged, write_manifest
from splitway.cli.console import OUT, Steps
from splitway.cli.heads import confusion
from splitway.cli.heads.train_head import Lesson
from splitway.errors import BundleError
from splitway.manifest import Cut, Manifest
from splitway.names import PROBABILITIES
from splitway.runtime.inprocess import InProcessStage
from splitway.splitter.pack import SOURCE, HeadAnswers
from splitway.splitter.proof.prove import Question, prove
from splitway.splitter.readers.loaded import of_keras
from splitway.splitter.train_head import Examples, HeadPlan, pack_head, run, stratified, train
from splitway.wire.tensor import Arrays

_MOST_CONFUSIONS = 3


@dataclass(frozen=True)
class Trained:
    """A head, and what it made of pictures that it had not seen."""

    lesson: Lesson
    manifest: Manifest
    matrix: NDArray[np.int64]
    """Counts: rows are what pictures show, columns what they were taken for."""

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.matrix) / self.matrix.sum())

    @property
    def drawing(self) -> Path:
        """The picture of the confusions: where it was asked for, or beside the bundle."""
        target = self.lesson.target
        return self.lesson.job.confusion or target.with_name(f"{target.name}-confusion.svg")


def make_head(lesson: Lesson, steps: Steps) -> Trained:
    """Train a head, prove it in LiteRT on what was held out, put it in its place and draw its confusions.

    Raises:
        ModelError, ProofError: it cannot be exported, or LiteRT differs from Keras; nothing is left behind.
    """
    examples = Examples(lesson.extracted.features, lesson.classes)
    learnt, held_out = stratified(examples.classes, lesson.job.held_out, lesson.job.seed, least=1)
    steps.say(f"training on {len(learnt)} pictures; {len(held_out)} are held out")
    model = train(examples.rows(learnt), len(lesson.labels), lesson.job.seed)
    unseen = examples.rows(held_out)
    answers = run(model, unseen.features)
    steps.say("exporting and proving the head")
    manifest = _put_in_place(lesson, model, answers, unseen)
    matrix = confusion.count(unseen.classes, answers[PROBABILITIES].argmax(axis=1), len(lesson.labels))
    trained = Trained(lesson, manifest, matrix)
    title = f"{lesson.job.name} {manifest.version}: {trained.accuracy:.1%} of {matrix.sum()} held out are right"
    trained.drawing.write_text(confusion.drawing(title, matrix, lesson.labels), encoding="utf-8")
    return trained


def _put_in_place(lesson: Lesson, model: Any, answers: Arrays, unseen: Examples) -> Manifest:
    job, version, space = lesson.job, lesson.target.name, lesson.extracted.origin.feature_space
    source = job.models / SOURCE / f"{job.name}-{version}"
    with staged(lesson.target, source) as (folder, kept):
        loaded = of_keras(model, job.name)
        kept_source = keep_source(loaded, kept, source, job.models)
        says = HeadAnswers(lesson.labels, unsure_below=job.unsure_below)
        plan = HeadPlan(job.name, version, says, space, kept_source, _cut(lesson, space))
        pack_head(loaded.graph, plan, folder)
        bundle = load_bundle(folder, role="head")
        proof = prove(InProcessStage(bundle), Question(unseen.features, answers), "litert")
        manifest = bundle.manifest.model_copy(update={"proof": proof})
        write_manifest(folder, manifest)
    return manifest


def _cut(lesson: Lesson, space: str) -> Cut:
    """The cut that gives these features, where the bundle that makes them is at hand."""
    for path in sorted(lesson.job.models.glob("*/[1-9]*/stage.json")):
        with contextlib.suppress(BundleError):
            manifest = read_manifest(path.parent)
            if manifest.gives == space:
                return manifest.cut
    size = sum(array[0].nbytes for array in lesson.extracted.features.values())
    return Cut(layer="?", bytes_per_row=size)


def print_trained(trained: Trained) -> Mapping[str, object]:
    """Print how good the head is, where it errs most, and where it lies; return the same for programs."""
    worst = confusion.worst(trained.matrix, trained.lesson.labels, _MOST_CONFUSIONS)
    OUT.print(f"{trained.accuracy:.1%} of {trained.matrix.sum()} pictures that were held out are right", markup=False)
    for true, taken_for, times, of in worst:
        OUT.print(f"  {true} taken for {taken_for}: {times} of {of}", markup=False)
    proof = trained.manifest.proof
    if proof is not None:
        OUT.print(f"proof: LiteRT differs from Keras by {proof.against_uncut.max_abs:.2g} at most", markup=False)
    OUT.print(f"{trained.lesson.target}, {trained.drawing}", markup=False)
    return {
        "folder": trained.lesson.target,
        **trained.manifest.model_dump(mode="json"),
        "accuracy": trained.accuracy,
        "held_out": int(trained.matrix.sum()),
        "taken_for": [{"true": true, "as": other, "times": times, "of": of} for true, other, times, of in worst],
        "confusion": trained.drawing,
    }
