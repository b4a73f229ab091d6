"""From a user's model and options to proved bundles: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras

from splitway.api.accuracy import measuring
from splitway.api.answering import head_of, refuse_early, with_head
from splitway.api.before import read_labels, refuse_taken
from splitway.api.given import PixelOptions, check_head_name, check_version, room_from_environment
from splitway.api.picture_folders import pictures_of, plain_pictures
from splitway.api.pixels import preprocessing_of
from splitway.api.proving import ask, find_samples, prove_folders
from splitway.api.source import SourceOptions, keep_source, load_and_show
from splitway.api.wanted import Ending, Wanted, check_wanted, same_labels
from splitway.bundle import load_bundle, staged
from splitway.bundle_graph import FoundBundle, find_chain
from splitway.errors import BundleError, OfflineError, SetupError, printable
from splitway.manifest import Manifest, Preprocessing, SourceModel
from splitway.names import DEFAULT_HEAD, stage_names
from splitway.splitter.cut import cut_model
from splitway.splitter.cuts import ROOM, best_cut, find_cuts
from splitway.splitter.ending import answers_with, appended_to
from splitway.splitter.graph import Graph, Part
from splitway.splitter.pack import SOURCE, HeadAnswers, PackPlan, Say, pack
from splitway.splitter.proof.prove import chance_named
from splitway.splitter.readers.loaded import DEFAULT_PICTURE_SIZE, LoadedModel
from splitway.splitter.readers.source import fingerprint
from splitway.wire.room import Room


@dataclass(frozen=True)
class SplitOptions:
    """The user's options for a split."""

    out: Path
    at: tuple[str, ...] = ()
    """The layers to cut after; the best one if not given."""
    labels: Path | Sequence[str] | None = None
    """A text file with a label a line, or the labels."""
    pixels: PixelOptions = field(default_factory=PixelOptions)
    samples: Path | None = None
    version: str = "1"
    head: str = DEFAULT_HEAD
    force: bool = False
    ending: Ending | None = None
    """What is done with the numbers of the last layer; its own activation decides if not given."""
    threshold: float | None = None
    """The least probability of a label that a multi-label head gives; 0.5 if not given."""
    unsure_below: float | None = None
    """Below this probability of the first class an answer is to be shown as not sure."""
    source: SourceOptions = field(default_factory=SourceOptions)

    @property
    def wanted(self) -> Wanted:
        """What the answers are to mean. Raises SetupError for labels that cannot be read."""
        return Wanted(read_labels(self.labels), self.ending, self.threshold, self.unsure_below)


def split_model(model: Path | keras.Model, options: SplitOptions, say: Say) -> list[Manifest]:
    """Cut a user's model, prove the cut and write the bundles. Raises as `splitway.split` says."""
    check_version(options.version)
    check_head_name(options.head)
    wanted = options.wanted
    check_wanted(wanted, options.source.given)
    loaded = load_and_show(model, options.source, say)
    if wanted.ending == "raw" and wanted.labels is not None:
        options.source.note("--raw serves the numbers as they are: the labels are not kept")
    for number, first in same_labels(wanted.labels or ()).items():
        label = printable((wanted.labels or ())[number])
        options.source.note(f"classes {first + 1} and {number + 1} have the label {label!r}: answers look the same")
    preprocessing = _checked(loaded.graph, wanted, options)
    room = room_from_environment()
    at = options.at or _best_cut(loaded.graph, room, options.source.note, say)
    samples = _shown(options.samples, preprocessing, options.source)
    return split(loaded, replace(options, at=at, labels=wanted.labels, samples=samples), preprocessing, say, room)


def _checked(graph: Graph, wanted: Wanted, options: SplitOptions) -> Preprocessing | None:
    """Check what the answers mean and how pictures are scaled; what is wrong with both is told at once.

    Raises:
        ModelError, SetupError: as `refuse_early` and `preprocessing_of`.
    """
    try:
        refuse_early(wanted, graph)
    except OfflineError as first:
        try:
            preprocessing_of(graph, options.pixels, options.source)
        except OfflineError as second:
            raise type(first)(f"{first.detail}. And {second.detail}") from second
        raise
    return preprocessing_of(graph, options.pixels, options.source)


def _shown(named: Path | None, preprocessing: Preprocessing | None, source: SourceOptions) -> Path | None:
    """The samples: those that are named, or the usual pictures. Raises SetupError for a named folder without any."""
    if preprocessing is None:
        return named
    if named is not None and named.is_dir() and not pictures_of(named):
        raise SetupError(f"{named} holds no picture, nor a folder of pictures for each class: name another --samples")
    return named or plain_pictures(source.pictures)


def split(
    model: LoadedModel, options: SplitOptions, preprocessing: Preprocessing | None, say: Say, room: Room = ROOM
) -> list[Manifest]:
    """Cut, pack and prove. The bundles are put in place only if the proof holds.

    Args:
        options: where to cut it, and what goes into the bundles.
        preprocessing: of the pictures that it takes; None where it takes other tensors.
        room: what a request may carry where the bundles are served.

    Raises:
        BundleError: the version is there already and `force` is not set.
        ModelError, ProofError: the model cannot be cut, or the pieces differ from it.
        SetupError: the files cannot be written, or options make no sense for the model's answers.
    """
    out, version, head = options.out, options.version, options.head
    say(f"cutting {model.name} at {', '.join(options.at)}")
    cut = cut_model(model.graph, options.at, room)
    targets = [out / name / version for name in stage_names(len(cut.parts), head)]
    if not options.force:
        refuse_taken(targets, model.name)
    say("asking the uncut model")
    shown = find_samples(options.samples, model.graph, preprocessing)
    question = ask(model, preprocessing, shown, say)
    answers = head_of(options.wanted, model.graph, question.expected)
    cut, question = with_head(cut, question, answers, is_raw=options.ending == "raw")
    measured = measuring(options.samples, model, preprocessing, answers, options.source.note)
    source_folder = out / SOURCE / f"{model.name}-{version}"
    with staged(*targets, source_folder) as (*folders, kept):
        source = keep_source(model, kept, source_folder, out)
        plan = PackPlan(preprocessing, answers, source, version, head, room)
        pack(cut, plan, folders, say)
        with chance_named(model.graph, model.run, question.inputs):
            return prove_folders(cut.whole, folders, question, say, measured)


def verify(
    models: Path, samples: Path | None, version: str | None, say: Say, allowed: SourceOptions | None = None
) -> list[Manifest]:
    """Prove bundles again and write the proof into their manifests.

    Raises:
        BundleError: a bundle or the uncut model is missing or damaged, or the stages are of different feature spaces.
        ProofError: the pieces differ from the uncut model; the manifests stay as they were.
    """
    found = _of_one_source(models, version)
    first, last = found[0].manifest, found[-1].manifest
    preprocessing, allowed = first.preprocessing, allowed or SourceOptions()
    size = DEFAULT_PICTURE_SIZE if preprocessing is None else (preprocessing.height, preprocessing.width)
    model = load_and_show(_kept(models, first.source_model), replace(allowed, picture_size=size), say)
    graph = model.graph
    shown = _shown(samples, preprocessing, allowed)
    question = ask(model, preprocessing, find_samples(shown, graph, preprocessing), say)
    takes = dict(zip((entry.name for entry in first.inputs), graph.inputs.values(), strict=True))
    whole_graph = appended_to(graph, last.appended)
    gives = dict(zip((entry.name for entry in last.outputs), whole_graph.outputs.values(), strict=True))
    named = dict(zip(gives, answers_with(question.expected, last.appended).values(), strict=True))
    whole = Part(takes, tuple(whole_graph.steps), gives)
    head = HeadAnswers(load_bundle(found[-1].folder).labels or None, last.appended)
    measured = measuring(shown, model, preprocessing, head, allowed.note)
    with chance_named(graph, model.run, question.inputs):
        folders, question = [each.folder for each in found], replace(question, expected=named)
        return prove_folders(whole, folders, question, say, measured)


def _kept(models: Path, source: SourceModel) -> Path:
    """The copy of an uncut model beside its bundles. Raises BundleError unless it is there and whole."""
    path = models / source.path
    if not path.resolve().is_relative_to(models.resolve()):
        raise BundleError(f"the uncut model {path} lies outside {models}: it is not read; split the model again")
    if not path.exists():
        raise BundleError(f"the uncut model {path} is missing; split the model again")
    if fingerprint(path) != source.sha256:
        raise BundleError(f"{path} is corrupted: its SHA-256 differs from the manifest; split the model again")
    return path


def _of_one_source(models: Path, version: str | None) -> list[FoundBundle]:
    """The chain whose head was split from the same model as its extractor; a head trained later has another source."""
    chain = find_chain(models, version, {DEFAULT_HEAD: version} if version else None)
    source = chain.extractor.manifest.source_model
    heads = [head for head in chain.heads.values() if head.manifest.source_model == source]
    if not heads:
        named = ", ".join(str(head.folder) for head in chain.heads.values())
        raise BundleError(f"{named}: not split from {source.name}, as {chain.extractor.folder} was; name its --version")
    return [chain.extractor, *chain.bodies, heads[0]]


def _best_cut(graph: Graph, room: Room, note: Say, say: Say) -> tuple[str]:
    say("looking for the best cut")
    best = best_cut(find_cuts(graph, room))
    but = "" if best.has_a_backbone else ", though next to nothing comes before it: no other cut can be made"
    note(f"cutting after {best.layer}, the best of its layers{but}; --at chooses another")
    return (best.layer,)
