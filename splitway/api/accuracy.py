"""How often labelled pictures get their own label: from the pipeline as it is served, and from the uncut model as its
author feeds it. A proof says that the parts equal the model, and not whether pictures reach it as in training."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from splitway.api.picture_files import read_picture
from splitway.api.picture_folders import PictureFolders, class_folders
from splitway.api.pixels import pixels_told
from splitway.api.wanted import same_labels
from splitway.errors import InvalidInput, SetupError, TooLarge, reason_of
from splitway.kinds.image.decode import PictureDecoder, to_model_input
from splitway.kinds.image.limits import PictureLimits
from splitway.manifest import Accuracy, Preprocessing
from splitway.names import PIXELS
from splitway.splitter.ending import answers_with, appended_to
from splitway.splitter.pack import HeadAnswers, Say
from splitway.splitter.proof.prove import Answers, Run
from splitway.splitter.readers.loaded import LoadedModel
from splitway.splitter.scaling import USUAL, shown_range

Measured = Callable[[Run], Accuracy]
"""Measures the accuracy of a served pipeline."""
_BATCH = 8
_MOST_PICTURES = 2000
"""Of all classes together; of more, each class gives as many as the others."""
_FOR_RANGES = 120
"""Pictures on which other ranges are tried."""
_SURE, _UNSURE = 0.01, 0.05
"""How likely chance may be to explain that another range is better; the latter where the named one is no better than
drawing lots."""
_OTHER_RANGE = "its range is forced and is not what the model's layers tell; split without --force-range"
_OTHER_RESIZE = (
    "it crops pictures to the model's shape and averages pixels as it shrinks them, while Keras was given the whole "
    "picture, squeezed without averaging; send pictures of the model's size, or train on pictures resized by Pillow"
)
_FEW = 4
"""More pictures rightly named that chance may well explain."""


@dataclass(frozen=True)
class Labelled:
    """Pictures whose classes are known."""

    name: str
    """Of their folder."""
    files: tuple[Path, ...]
    classes: tuple[int, ...]
    """For each file the number of its class among the model's; the first one, if several have its label."""
    same: Mapping[int, int] = field(default_factory=dict)
    """For other classes of a label the first one."""


def label_pictures(found: PictureFolders, labels: Sequence[str], classes: int, note: Say) -> Labelled:
    """Find the class of each picture by its folder's name, or, where no name is a label, by the folders' order.

    Raises:
        SetupError: the folders are not those of the model's labels.
    """
    same = same_labels(labels)
    numbers = {label: number for number, label in enumerate(labels) if number not in same}
    folders = list(found.pictures)
    strange = [name for name in folders if name not in numbers]
    if strange:
        by_order = len(folders) == classes and len(strange) == len(folders)
        if not by_order:
            known = ", ".join(map(repr, list(labels)[:5])) + (", ..." if len(labels) > 5 else "")
            has = f"the labels are {known}" if labels else f"the model has {classes} classes and no labels"
            raise SetupError(
                f"{found.images} has a folder {strange[0]!r}, which is no label: {has}. Name the folders like the "
                f"labels, or have {classes} folders in the order of the classes"
            )
        numbers, same = {name: number for number, name in enumerate(folders)}, {}
        note(f"{found.images}: no folder is called like a label, so they are the {classes} classes in their order")
    files = found.evenly(_MOST_PICTURES)
    if len(files) < len(found.files):
        note(f"{found.images}: the accuracy is measured on {len(files)} of {len(found.files)} pictures")
    truth = tuple(numbers[found.label_of(file)] for file in files)
    return Labelled(found.images.name, tuple(files), truth, same)


def measuring(
    samples: Path | None, model: LoadedModel, preprocessing: Preprocessing | None, head: HeadAnswers, note: Say
) -> Measured | None:
    """Return what measures a served pipeline; None where the samples are no folder with a folder for each class, or
    the model gives no number for each class.

    Raises:
        SetupError: the folders are not those of the model's labels.
    """
    found = None if samples is None or preprocessing is None else class_folders(samples)
    if found is None or preprocessing is None:
        if samples is not None and preprocessing is not None and samples.name in (head.labels or ()):
            note(f"{samples} is called like a label: --samples {samples.resolve().parent} measures the accuracy")
        return None
    outputs = list(appended_to(model.graph, head.appended).outputs.values())
    if len(outputs) != 1 or len(outputs[0].shape) != 1 or (outputs[0].shape[0] or 0) < 2:
        note(f"{samples}: no accuracy is measured, for the model does not give a number for each class")
        return None
    pictures = label_pictures(found, head.labels or (), outputs[0].shape[0] or 0, note)
    name, told = next(iter(model.graph.inputs)), pixels_told(model.graph)
    taken = preprocessing
    if told is not None and told.range is not None:  # whatever range was forced upon it
        taken = preprocessing.model_copy(update={"range": told.range, "standardise": None})

    def uncut(inputs: Answers) -> Answers:
        return answers_with(model.run({name: inputs[PIXELS]}), head.appended)

    def measured(served: Run) -> Accuracy:
        accuracy = measure(pictures, served, uncut, preprocessing, taken, note)
        for doubt in doubts(accuracy, is_forced=taken != preprocessing):
            note(doubt)
        if (told is None or told.range is None) and preprocessing.datatype == "FP32":  # the user has said which
            said = doubt_of_range(pictures, uncut, preprocessing)
            if said is not None:
                note(said)
        return accuracy

    return measured


def measure(
    pictures: Labelled, served: Run, uncut: Run, preprocessing: Preprocessing, taken: Preprocessing, note: Say
) -> Accuracy:
    """Ask the served pipeline and the uncut model for every picture.

    Args:
        pictures: whose classes are known; those that cannot be read are left out.
        served: the parts through their engine and the wire format; takes PIXELS.
        uncut: the whole model; takes PIXELS.
        preprocessing: how a picture is decoded as it is served.
        taken: how pixels become what the uncut model takes.
        note: told what is left out.

    Raises:
        SetupError: not one picture can be read.
    """
    decode = PictureDecoder(preprocessing, PictureLimits())
    truth: list[int] = []
    firsts: list[list[int]] = [[], []]
    for start in range(0, len(pictures.files), _BATCH):
        read = [
            (number, decoded, plain)
            for file, number in list(zip(pictures.files, pictures.classes, strict=True))[start : start + _BATCH]
            for decoded, plain in _both(file, decode, preprocessing, note)
        ]
        if read:
            numbers, decoded, plain = zip(*read, strict=True)
            truth += numbers
            firsts[0] += _firsts(served, to_model_input(np.stack(decoded), preprocessing), pictures.same)
            firsts[1] += _firsts(uncut, to_model_input(np.stack(plain), taken), pictures.same)
    if not truth:
        raise SetupError(f"not one of the {len(pictures.files)} pictures in {pictures.name} could be read")
    right = [sum(map(int.__eq__, truth, found)) for found in firsts]
    return Accuracy(
        samples=pictures.name,
        pictures=len(truth),
        classes=len(set(truth)),
        served_right=right[0],
        uncut_right=right[1],
        served_classes=len(set(firsts[0])),
    )


def doubt_of_range(pictures: Labelled, uncut: Run, preprocessing: Preprocessing) -> str | None:
    """How often the model is right with each usual range; None where it is right with the named one about as often."""
    step = max(1, len(pictures.files) // _FOR_RANGES)
    known = list(zip(pictures.files, pictures.classes, strict=True))[::step]
    plain = [(number, _plain(data, preprocessing)) for file, number in known if (data := _data(file)) is not None]

    def right(taken: Preprocessing) -> list[bool]:
        return _right(uncut, plain, taken, pictures.same)

    named = right(preprocessing)
    usual = {each: right(preprocessing.model_copy(update={"range": each, "standardise": None})) for each in USUAL}
    by_chance = _is_by_chance(sum(named), len(plain), len({number for number, _ in plain}))
    if all(_chance_of(found, named) > (_UNSURE if by_chance else _SURE) for found in usual.values()):
        return None
    is_usual = preprocessing.standardise is None and preprocessing.range in usual
    counts = [] if is_usual else [f"{sum(named)} as it was split"]
    for each, found in usual.items():
        given = " (given)" if is_usual and each == preprocessing.range else ""
        counts.append(f"{sum(found)} with --range={shown_range(each)}{given}")
    return (
        f"of {len(plain)} pictures the model names rightly {', '.join(counts)}. How it was trained decides: a higher "
        "count alone proves nothing"
    )


def _chance_of(other: Sequence[bool], named: Sequence[bool]) -> float:
    """How likely chance alone is to favour the other so much, on the pictures of which one of the two is right."""
    differ = [ours for ours, theirs in zip(other, named, strict=True) if ours != theirs]
    return 0.5 ** len(differ) * sum(math.comb(len(differ), n) for n in range(sum(differ), len(differ) + 1))


def _is_by_chance(right: int, count: int, classes: int) -> bool:
    """Whether drawing lots among the classes would be right about as often."""
    chance = 1 / classes
    return right < count and right <= count * chance + math.sqrt(count * chance * (1 - chance))


def _right(
    run: Run, plain: Sequence[tuple[int, NDArray[Any]]], taken: Preprocessing, same: Mapping[int, int]
) -> list[bool]:
    """For which pictures a model is right that gets pixels in this way."""
    right: list[bool] = []
    for start in range(0, len(plain), _BATCH):
        numbers, pictures = zip(*plain[start : start + _BATCH], strict=True)
        right += map(int.__eq__, numbers, _firsts(run, to_model_input(np.stack(pictures), taken), same))
    return right


def _data(file: Path) -> bytes | None:
    """A picture's bytes; None of one that cannot be read, which is told of elsewhere."""
    try:
        data = read_picture(file)
        keras.utils.load_img(io.BytesIO(data))
    except (OSError, ValueError):
        return None
    return data


def _plain(data: bytes, target: Preprocessing) -> NDArray[Any]:
    """A picture as `keras.utils.image_dataset_from_directory` reads it, in whole numbers."""
    whole = keras.utils.img_to_array(keras.utils.load_img(io.BytesIO(data)))
    resized = tf.image.resize(whole, (target.height, target.width))
    rounded: NDArray[Any] = np.rint(resized).astype(np.uint8)
    return rounded


def _both(
    file: Path, decode: PictureDecoder, target: Preprocessing, note: Say
) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """A picture as it is served, and as `keras.utils.image_dataset_from_directory` reads it; nothing for an odd one."""
    try:
        data = read_picture(file)
        decoded = decode(data)
    except (OSError, InvalidInput, TooLarge) as error:
        note(f"{file} is left out: {reason_of(error)}")
        return []
    return [(decoded, _plain(data, target))]


def _firsts(run: Run, inputs: NDArray[Any], same: Mapping[int, int]) -> list[int]:
    (answers,) = run({PIXELS: inputs}).values()
    return [same.get(number, number) for number in answers.argmax(axis=1).tolist()]


def in_words(found: Accuracy) -> list[str]:
    """What was measured, in two lines."""

    def share(right: int) -> str:
        return f"{right / found.pictures:.1%} ({right} of {found.pictures})"

    return [
        f"the served pipeline names {share(found.served_right)} pictures in {found.samples} rightly",
        f"the whole model, fed as in Keras, {share(found.uncut_right)}",
    ]


def doubts(found: Accuracy, *, is_forced: bool = False) -> list[str]:
    """What speaks against the numbers that a model is fed with.

    `is_forced` says that they are served with another range than the model's own layers tell.
    """
    count, look = found.pictures, "look at --range, the order of the labels and the pictures"
    said = []
    if found.served_classes == 1 and found.classes > 1:
        said.append(f"as it is served, the model says the same of all {count} pictures: {look}")
    elif _is_by_chance(found.served_right, count, found.classes):
        said.append(f"as it is served, the model is right no more often than by chance: {look}")
    if (lost := found.uncut_right - found.served_right) > max(_FEW, math.sqrt(count * 0.25) / 2):
        why = _OTHER_RANGE if is_forced else _OTHER_RESIZE
        said.append(f"the served pipeline names {lost} of {count} pictures fewer rightly than the whole model: {why}")
    return said
