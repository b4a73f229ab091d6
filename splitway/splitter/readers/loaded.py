"""A model in memory: its graph to cut, and how it is run and kept uncut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from splitway.errors import ModelError
from splitway.splitter.graph import Graph
from splitway.splitter.proof.prove import Answers, Run
from splitway.splitter.readers.foreign import looking_at, reason_of
from splitway.splitter.readers.keras_graph import read_keras

DEFAULT_PICTURE_SIZE = (224, 224)
KEPT = "model"
"""The name, before its suffix, under which a copy lies beside the bundles."""


@dataclass(frozen=True)
class LoadedModel:
    """A model to cut, and how it is run and kept uncut."""

    name: str
    graph: Graph
    run: Run
    """The uncut model, as its author would run it: by the names of the graph's inputs and outputs."""
    keep: Callable[[Path], Path]
    """Puts a copy into a folder and returns its place."""
    notes: tuple[str, ...] = ()
    """Remarks for the user on how it was read."""
    takes_any_size: bool = False
    """Whether its pictures may be of any size, and it was given one."""


def of_keras(
    model: keras.Model,
    name: str,
    keep: Callable[[Path], Path] | None = None,
    picture_size: tuple[int, int] = DEFAULT_PICTURE_SIZE,
) -> LoadedModel:
    """A Keras model that is in memory. Raises ModelError if it has no graph.

    Args:
        keep: puts a copy of it into a folder; saves it if not given.
        picture_size: height and width for a model that takes pictures of any.
    """
    with looking_at(model):
        sized = _of_one_size(model, picture_size)
        graph = read_keras(sized)

    def run(inputs: Answers) -> Answers:
        values = [inputs[name] for name in graph.inputs]
        made = keras.tree.flatten(model(_arranged(model, values), training=False))
        return {
            name: np.asarray(keras.ops.convert_to_numpy(value)).astype(wire.travels_as)
            for (name, wire), value in zip(graph.outputs.items(), made, strict=True)
        }

    def save(folder: Path) -> Path:
        path = folder / f"{KEPT}.keras"
        model.save(path)
        return path

    return LoadedModel(name, graph, run, keep or save, takes_any_size=sized is not model)


def _of_one_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """The same model, and the same layers, for pictures of one size, where it takes pictures of any."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or None not in inputs[0].shape[1:3] or inputs[0].shape[3] != 3:
        return model
    given = inputs[0]
    shape = (*(known or wanted for known, wanted in zip(given.shape[1:3], size, strict=True)), 3)
    fixed = keras.Input(shape, dtype=given.dtype, name=given._keras_history.operation.name)
    try:
        return keras.models.clone_model(model, input_tensors=fixed, clone_function=lambda layer: layer)
    except ValueError as error:
        raise ModelError(f"the model cannot take pictures of {size[0]}x{size[1]}: {reason_of(error)}") from error


def _arranged(model: keras.Model, values: list[Any]) -> Any:
    """The inputs in the structure in which the model was built: one, a list or a dictionary."""
    structure = getattr(model, "_inputs_struct", None)
    return values[0] if structure is None else keras.tree.pack_sequence_as(structure, values)
