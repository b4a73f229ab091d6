"""`splitway build`, `split` and `verify`, from options to bundles."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from splitway.bundle import load_bundle
from splitway.cli.console import ERR, OUT
from splitway.cli.models import split_and_prove as bundles
from splitway.cli.models.every_bundle import check_every
from splitway.cli.models.room import room_from
from splitway.cli.models.source import SourceOptions, load_and_show
from splitway.cli.names import check_head_name, check_version
from splitway.errors import BundleError, ModelError, SetupError
from splitway.manifest import Manifest, Preprocessing
from splitway.names import DEFAULT_HEAD, EXTRACTOR, PROBABILITIES
from splitway.plan import can_follow
from splitway.splitter import default_model, efficientnet_lite
from splitway.splitter.cut import takes_pictures
from splitway.splitter.cuts import best_cut, find_cuts
from splitway.splitter.fetch import cache_folder
from splitway.splitter.graph import Graph
from splitway.splitter.readers.loaded import of_keras
from splitway.wire.room import MAX_ROWS, Room

Say = Callable[[str], None]


@dataclass(frozen=True)
class SplitOptions:
    """What the user said of a model of theirs."""

    at: str | None
    """The layers to cut after, separated by commas; the best one if not given."""
    out: Path
    labels: Path | None
    pixel_range: str
    crop: float
    resample: str
    samples: Path | None
    version: str
    head: str = DEFAULT_HEAD
    source: SourceOptions = field(default_factory=SourceOptions)
    pictures: Path | None = None
    """Samples for a model that takes pictures, where none are named."""


def build(out: Path, samples: Path | None, version: str, *, force: bool, fetch_only: bool, say: Say) -> None:
    """Make the default bundles unless they are there and whole."""
    check_version(version)
    if not force and not fetch_only and _is_whole(out, version):
        OUT.print(f"{out} has the default bundles, version {version}, already; --force makes them again")
        return
    cache = cache_folder()
    say("fetching weights and labels")
    labels = default_model.load_default_labels(cache)
    model = default_model.load_default_model(cache)
    if fetch_only:
        OUT.print(f"weights and labels are in {cache}")
        return
    job = bundles.SplitJob(
        model=of_keras(model, efficientnet_lite.NAME),
        at=(efficientnet_lite.CUT_LAYER,),
        out=out,
        preprocessing=default_model.PREPROCESSING,
        labels=labels,
        samples=samples,
        version=version,
        force=True,
    )
    report(out, bundles.split(job, say))


def _is_whole(out: Path, version: str) -> bool:
    try:
        extractor = load_bundle(out / EXTRACTOR / version, role="extractor")
        head = load_bundle(out / DEFAULT_HEAD / version, role="head")
    except BundleError:
        return False
    return can_follow(extractor.manifest, head.manifest)


def split(path: Path, options: SplitOptions, *, force: bool, say: Say) -> None:
    """Cut a user's model."""
    check_version(options.version)
    check_head_name(options.head)
    labels = _read_labels(options.labels)
    model = load_and_show(path, options.source, say)
    room = room_from()
    at = tuple(name.strip() for name in options.at.split(",")) if options.at else _best_cut(model.graph, room, say)
    preprocessing = _preprocessing(model.graph, options)
    job = bundles.SplitJob(
        model=model,
        at=at,
        out=options.out,
        preprocessing=preprocessing,
        labels=labels,
        samples=options.samples or (None if preprocessing is None else options.pictures),
        version=options.version,
        force=force,
        head=options.head,
        room=room,
    )
    report(options.out, bundles.split(job, say))


def _best_cut(graph: Graph, room: Room, say: Say) -> tuple[str, ...]:
    say("looking for the best cut")
    best = best_cut(find_cuts(graph, room))
    but = "" if best.has_a_backbone else ", though next to nothing comes before it: no other cut can be made"
    ERR.print(f"cutting after {best.layer}, the best of its layers{but}; --at chooses another", markup=False)
    return (best.layer,)


def verify(models: Path, samples: Path | None, version: str | None, allowed: SourceOptions, *, say: Say) -> None:
    """Check every bundle, with a line for each, and prove the extractor, the bodies and the head split with them again.

    Raises:
        BundleError: a bundle is damaged, and nothing is proved; or as `bundles.verify` raises.
    """
    check_every(models, version)
    report(models, bundles.verify(models, samples, version, say, allowed))


def report(models: Path, stages: list[Manifest]) -> None:
    """Say what was made and how well it is proved."""
    proof = stages[0].proof
    assert proof is not None, "what is reported has been proved"
    found, same = proof.against_uncut, proof.against_same_engine
    OUT.print(" and ".join(f"{models}/{stage.name}/{stage.version}" for stage in stages), markup=False)
    for stage in stages[:-1]:
        cut = stage.cut if stage.role == "extractor" else stages[stages.index(stage) + 1].cut
        tensors = f" in {len(cut.tensors)} tensors" if len(cut.tensors) > 1 else ""
        OUT.print(f"  feature space  {stage.gives}")
        OUT.print(f"  cut            after {cut.layer}, {cut.bytes_per_row} bytes per row{tensors}", markup=False)
    fits = min((s.rows.per_request for s in stages if s.rows and s.rows.per_request is not None), default=None)
    if fits is not None and fits < MAX_ROWS:
        OUT.print(f"  rows           {fits} fit into one request, by the largest of its tensors")
    OUT.print(
        f"  proof          {proof.inputs} inputs in batches of {', '.join(map(str, proof.batch_sizes))}: at most "
        f"{found.max_abs:.2g} from the uncut model ({proof.tolerance:.2g} allowed)"
        + (", same class first" if found.top1_equal else "")
    )
    if same is not None:
        OUT.print(
            f"                 at most {same.max_abs:.2g} ({same.max_ulp} ULP) from the uncut model in {proof.engine}"
        )
    elsewhere = [stage.name for stage in stages if stage.engine == "tensorflow"]
    if elsewhere:
        OUT.print(f"  engine         TensorFlow for {', '.join(elsewhere)}: LiteRT cannot run it, or not as exactly")
    if PROBABILITIES not in {entry.name for entry in stages[-1].outputs}:
        named = ", ".join(entry.name for entry in stages[-1].outputs)
        OUT.print(f"  outputs        {named}: no probabilities of classes; ask /v2/models/pipeline, not /v1/classify")
    elif stages[0].preprocessing is None:
        takes = ", ".join(entry.name for entry in stages[0].inputs)
        OUT.print(f"  inputs         {takes}: no picture; ask /v2/models/pipeline, not /v1/classify")


def _preprocessing(graph: Graph, options: SplitOptions) -> Preprocessing | None:
    """How pictures become the model's input; None for a model that takes something else."""
    try:
        low, high = (float(part) for part in options.pixel_range.split(":"))
    except ValueError as error:
        raise SetupError(f"--range must be LOW:HIGH, such as 0:1 or -1:1, not {options.pixel_range!r}") from error
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise SetupError(
            f"--range must go from one number to another, not {options.pixel_range!r}: "
            "it would make all pictures the same"
        )
    if not takes_pictures(graph):
        given = options.source.given
        given.refuse("pixel_range", "crop", "resample", because="the model does not take one RGB picture")
        return None
    (wire,) = graph.inputs.values()
    if wire.dtype == "uint8" and (low, high) != (0.0, 255.0):
        raise SetupError("the model takes uint8 pixels: leave --range at 0:255")
    try:
        return Preprocessing.model_validate(
            {
                "height": wire.shape[0],
                "width": wire.shape[1],
                "crop": options.crop,
                "resample": options.resample,
                "range": (low, high),
                "datatype": "UINT8" if wire.dtype == "uint8" else "FP32",
            }
        )
    except ValidationError as error:
        raise ModelError(f"the model's input {wire.shape} with these options cannot be fed with pictures") from error


def _read_labels(path: Path | None) -> list[str] | None:
    """The lines of a text file: UTF-8, or UTF-16 with a byte order mark, which is no part of the first label."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if marked else "utf-8-sig").splitlines()
    except OSError as error:
        raise SetupError(f"cannot read the labels {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SetupError(
            f"the labels {path} are not text in UTF-8, from byte {error.start} on: save them as UTF-8"
        ) from error
