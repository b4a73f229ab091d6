"""Makes bundles from the user's model and options."""

from __future__ import annotations

import codecs
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
from pydantic import ValidationError

from splitway.api.names import check_head_name, check_version
from splitway.api.room import room_from
from splitway.api.source import SourceOptions, load_and_show
from splitway.api.split_and_prove import SplitJob, split
from splitway.errors import ModelError, SetupError
from splitway.manifest import Manifest, Preprocessing
from splitway.names import DEFAULT_HEAD
from splitway.splitter.cut import takes_pictures
from splitway.splitter.cuts import best_cut, find_cuts
from splitway.splitter.graph import Graph
from splitway.splitter.pack import Say
from splitway.wire.room import Room


@dataclass(frozen=True)
class SplitOptions:
    """The user's options for a split."""

    out: Path
    at: tuple[str, ...] = ()
    """The layers to cut after; the best one if not given."""
    labels: Path | Sequence[str] | None = None
    """A text file with a label a line, or the labels."""
    pixel_range: tuple[float, float] = (0.0, 255.0)
    """The model's own values for pixels 0 and 255."""
    crop: float = 1.0
    resample: str = "bilinear"
    samples: Path | None = None
    version: str = "1"
    head: str = DEFAULT_HEAD
    force: bool = False
    source: SourceOptions = field(default_factory=SourceOptions)


def split_model(model: Path | keras.Model, options: SplitOptions, say: Say) -> list[Manifest]:
    """Cut a user's model, prove the cut and write the bundles. Raises as `splitway.split` says."""
    check_version(options.version)
    check_head_name(options.head)
    labels = read_labels(options.labels) if isinstance(options.labels, Path) else options.labels
    loaded = load_and_show(model, options.source, say)
    room = room_from()
    at = options.at or _best_cut(loaded.graph, room, options.source.note, say)
    preprocessing = _preprocessing(loaded.graph, options)
    job = SplitJob(
        model=loaded,
        at=at,
        out=options.out,
        preprocessing=preprocessing,
        labels=None if labels is None else list(labels),
        samples=options.samples or (None if preprocessing is None else options.source.pictures),
        version=options.version,
        force=options.force,
        head=options.head,
        room=room,
    )
    return split(job, say)


def _best_cut(graph: Graph, room: Room, note: Say, say: Say) -> tuple[str]:
    say("looking for the best cut")
    best = best_cut(find_cuts(graph, room))
    but = "" if best.has_a_backbone else ", though next to nothing comes before it: no other cut can be made"
    note(f"cutting after {best.layer}, the best of its layers{but}; --at chooses another")
    return (best.layer,)


def _preprocessing(graph: Graph, options: SplitOptions) -> Preprocessing | None:
    """How pictures become the model's input; None for a model that takes something else."""
    low, high = options.pixel_range
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise SetupError(
            f"--range must go from one number to another, not '{low:g}:{high:g}': it would make all pictures the same"
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


def read_labels(path: Path) -> list[str]:
    """Return the lines of a text file: UTF-8, or UTF-16 with a byte order mark, which is no part of the first label.

    Raises:
        SetupError: it cannot be read, or is in another encoding.
    """
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
