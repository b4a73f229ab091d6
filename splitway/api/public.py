"""What `splitway` exports: `inspect`, `split` and `load`. Each imports what it needs when it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from splitway.process.extras import extras_named, require

if TYPE_CHECKING:
    from splitway.api.inspection import Inspection
    from splitway.api.pipeline import Pipeline


def inspect(
    model: str | PathLike[str] | Any,
    *,
    allow_legacy: bool = False,
    custom_objects: str | Sequence[str] = (),
    size: tuple[int, int] | None = None,
    say: Callable[[str], None] | None = None,
) -> Inspection:
    """Find where a model can be cut, as `splitway inspect` does.

    Args:
        model: a `.keras` file, the folder of a SavedModel, or a Keras model in memory, functional or Sequential.
        allow_legacy: take `.h5` files too, an older and less safe format.
        custom_objects: modules (dotted names or files) with the model's own classes. They are imported, so they run.
        size: height and width in pixels, for a model that takes pictures of any size.
        say: called with each step, and with remarks for the reader.

    Returns:
        Every cut in the order of the layers (`cuts`), and those that can be made, best first (`best`).

    Raises:
        ModelError: the model cannot be read, or has nothing to cut between.
        SetupError: the extra `split` is not installed, or an argument has no effect.
    """
    with _installed():
        require("split")
        from splitway.api.before import check_model

        check_model(_model(model), allow_legacy=allow_legacy)
        from splitway.api.inspection import inspect_model
        from splitway.api.source import quiet, source_options

        told = say or quiet
        return inspect_model(_model(model), source_options(allow_legacy, custom_objects, size, told), told)


def split(
    model: str | PathLike[str] | Any,
    at: str | Sequence[str] | None = None,
    out: str | PathLike[str] = "models",
    *,
    labels: str | PathLike[str] | Sequence[str] | None = None,
    pixel_range: tuple[float, float] | None = None,
    preprocess: Literal["tf", "torch", "caffe"] | None = None,
    force_range: bool = False,
    crop: float | None = None,
    resample: Literal["bilinear", "bicubic", "box"] | None = None,
    softmax: bool = False,
    sigmoid: bool = False,
    raw: bool = False,
    threshold: float | None = None,
    unsure_below: float | None = None,
    samples: str | PathLike[str] | None = None,
    version: str | int = "1",
    head: str = "classifier",
    force: bool = False,
    allow_legacy: bool = False,
    custom_objects: str | Sequence[str] = (),
    size: tuple[int, int] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Cut a model, prove the cut and write a bundle for each stage, as `splitway split` does: all of them or none.

    Args:
        model: as for `inspect`.
        at: the layer after which to cut, or several, one less than stages; the best one if not given.
        out: folder to write the bundles into.
        labels: one for each class in the model's order, or a text file with a label a line.
        pixel_range: what the model expects pixel values 0 and 255 to be. The layers behind its input tell it where they
            scale (Rescaling, Normalization, arithmetic); it must be given where they don't.
        preprocess: in place of a range, what `preprocess_input` of `keras.applications` does in this mode.
        force_range: take `pixel_range` or `preprocess` though the model's own layers tell another.
        crop: share of the centred window that is kept, up to 1, which it is if not given.
        resample: filter of the resize, "bilinear" if not given.
        softmax: append a softmax to a model that gives logits, of which one label is right.
        sigmoid: append a sigmoid to a model that gives logits, of which several labels can be right.
        raw: serve the numbers as they are, without labels.
        threshold: the least probability of a label that a head with several right ones gives, 0.5 if not given.
        unsure_below: answers whose first label has a lower probability are to be shown as not sure.
        samples: pictures (a folder) or rows (`.npz`, `.csv`, `.jsonl`) for the proof, beside random inputs.
        version: of the bundles, a whole number from 1 up.
        head: name of the last bundle.
        force: replace bundles that are there already.
        allow_legacy, custom_objects, size, say: as for `inspect`.

    Returns:
        The folders of the bundles, `out/<name>/<version>`: extractor, bodies in order, head.

    Raises:
        ModelError: the model cannot be read, cut or converted.
        ProofError: the pieces differ from the uncut model.
        BundleError: the version is there already and `force` is not set.
        SetupError: the extra `split` is not installed, an argument is wrong, missing or has no effect, or a file cannot
            be read or written.
    """
    with _installed():
        require("split")
        from splitway.api.before import SplitPlan, check_split
        from splitway.api.given import PixelOptions
        from splitway.api.wanted import one_ending

        scaled = {"range": pixel_range, "preprocess": preprocess, "crop": crop, "resample": resample}
        known: dict[str, Any] = {name: value for name, value in scaled.items() if value is not None}
        known |= {"force_range": True} if force_range else {}
        pixels, ending = PixelOptions(**known), one_ending(softmax=softmax, sigmoid=sigmoid, raw=raw)
        plan = SplitPlan(
            _model(model),
            Path(out),
            (at,) if isinstance(at, str) else tuple(at or ()),
            Path(labels) if isinstance(labels, str | PathLike) else labels,
            None if samples is None else Path(samples),
            str(version),
            head,
            force=force,
            allow_legacy=allow_legacy,
            ending=ending,
        )
        check_split(plan)
        from splitway.api.source import quiet, source_options
        from splitway.api.splitting import SplitOptions, split_model

        told = say or quiet
        marks = {"threshold": threshold, "unsure_below": unsure_below}
        given = ["pixel_range" if name == "range" else name for name in known]
        given += [name for name, value in marks.items() if value is not None]
        options = SplitOptions(
            at=tuple(plan.at),
            out=plan.out,
            labels=plan.labels,
            pixels=pixels,
            samples=plan.samples,
            version=plan.version,
            head=head,
            force=force,
            ending=ending,
            threshold=threshold,
            unsure_below=unsure_below,
            source=source_options(allow_legacy, custom_objects, size, told, *given),
        )
        manifests = split_model(_model(model), options, told)
    return [options.out / manifest.name / manifest.version for manifest in manifests]


def load(folder: str | PathLike[str] = "models", heads: Iterable[str] | None = None) -> Pipeline:
    """Load bundles as one function in this process, which needs no server.

    Every hash is checked before anything is parsed, and with SPLITWAY_BUNDLE_KEY every signature. Engine, threads and
    limits of a picture come from the variables that a stage reads.

    Args:
        folder: the folder of the bundles.
        heads: names of the heads to load; every head that takes the extractor's features if not given.

    Raises:
        BundleError: a bundle is missing, damaged, or no head takes the features of what comes before it.
        SetupError: there is no such head, its engine is not installed, or a SPLITWAY_* variable is wrong.
    """
    with _installed():
        from splitway.api.pipeline import load_chain
        from splitway.bundle_graph import find_chain

        return load_chain(find_chain(Path(folder)), heads)


def _model(model: Any) -> Any:
    """A path for text and paths; any other object is taken for a model in memory."""
    return Path(model) if isinstance(model, str | PathLike) else model


def _installed() -> AbstractContextManager[None]:
    """Name the extra to install if a library is missing."""
    return extras_named(lambda library, install: f"{library} is not installed: {install}")
