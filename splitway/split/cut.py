"""Cut a functional Keras model at one tensor, and name the space that its features live in."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from splitway.bundle import Preprocessing
from splitway.errors import ModelError, first_line

_FLOAT_BYTES = 4
_PICTURE_RANK = 4
_VOLATILE_KEYS = ("shared_object_id", "build_config", "module", "registered_name")


@dataclass(frozen=True)
class CutModel:
    """The two halves of a model, and the features between them."""

    uncut: keras.Model
    backbone: keras.Model
    head: keras.Model
    layer: str
    feature_shape: tuple[int, ...]
    """One row of the features, without the batch dimension."""

    @property
    def bytes_per_row(self) -> int:
        return int(np.prod(self.feature_shape)) * _FLOAT_BYTES

    @property
    def classes(self) -> int:
        return int(self.uncut.outputs[0].shape[-1])


def load_model(path: Path) -> keras.Model:
    """Load a `.keras` file without running code from it.

    Raises:
        ModelError: not such a file, or it holds what cannot be loaded safely.
    """
    if path.suffix != ".keras":
        raise ModelError(f"{path} is not a .keras file; save the model with model.save('name.keras')")
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged or foreign archive raises what its readers stumble over
        raise ModelError(f"{path} cannot be loaded: {first_line(error)}") from error
    return model


def cut_model(model: keras.Model, at: str) -> CutModel:
    """Cut after the layer `at`.

    Raises:
        ModelError: the model is not a functional picture classifier with one input and one output, there is no such
            layer, or more than this layer's output crosses the cut.
    """
    _check_model(model)
    layer = _find_layer(model, at)
    tensor = _output_in(model, layer)
    if not isinstance(tensor, keras.KerasTensor) or tensor.dtype != "float32":
        raise ModelError(f"layer {at!r} does not give one float32 tensor, which is what can be cut today")
    if None in tensor.shape[1:]:
        raise ModelError(f"layer {at!r} gives rows of unknown shape {tensor.shape[1:]}")
    if any(tensor is output for output in model.outputs):
        raise ModelError(f"layer {at!r} is the model's last: nothing is left for the head")
    try:
        backbone = keras.Model(model.inputs[0], tensor, name="backbone")
        head = keras.Model(tensor, model.outputs[0], name="head")
    except ValueError as error:
        raise ModelError(
            f"the model cannot be cut at {at!r}: more than its output crosses the cut (a connection goes around it)"
        ) from error
    return CutModel(model, backbone, head, at, tuple(int(n) for n in tensor.shape[1:]))


def _check_model(model: keras.Model) -> None:
    lambdas = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Lambda)]
    if lambdas:
        raise ModelError(f"layer {lambdas[0]!r} is a Lambda: it carries code, and code is not taken from a model file")
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ModelError("the model is not functional: build it from keras.Input to be able to cut it")
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(f"the model has {len(inputs)} inputs and {len(outputs)} outputs; one of each can be cut today")
    shape = inputs[0].shape
    if (
        len(shape) != _PICTURE_RANK
        or None in shape[1:]
        or shape[-1] != 3
        or inputs[0].dtype not in ("uint8", "float32")
    ):
        raise ModelError(
            f"the model's input is {inputs[0].dtype} {shape}; pictures (None, height, width, 3) of uint8 or float32 "
            "are taken"
        )
    if len(outputs[0].shape) != 2 or outputs[0].dtype != "float32":
        raise ModelError(f"the model's output is {outputs[0].dtype} {outputs[0].shape}, not float32 (None, classes)")


def _find_layer(model: keras.Model, name: str) -> keras.layers.Layer:
    names = [layer.name for layer in model.layers]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or names[-3:]
        raise ModelError(f"the model has no layer {name!r}; did you mean {', '.join(map(repr, near))}?")
    return model.get_layer(name)


def _output_in(model: keras.Model, layer: keras.layers.Layer) -> Any:
    """The layer's output in this model's own graph; a nested model's `output` lies in a graph of its own."""
    graph = getattr(model, "_functional", None) or model  # a Sequential model keeps its graph in a functional one
    nodes = [node for level in graph._nodes_by_depth.values() for node in level if node.operation is layer]
    if len(nodes) != 1:
        raise ModelError(f"layer {layer.name!r} is used {len(nodes)} times; a cut needs a layer that is used once")
    outputs = nodes[0].output_tensors
    return outputs[0] if len(outputs) == 1 else outputs


def feature_space(cut: CutModel, preprocessing: Preprocessing) -> str:
    """Fingerprint all that gives a feature vector its meaning: graph, weights, preprocessing and cut.

    Two features with the same fingerprint may be compared, averaged and classified together; others may not.
    """
    digest = hashlib.sha256()
    graph = _stable(cut.backbone.get_config())
    graph.pop("name", None)
    parts = {"graph": graph, "preprocessing": preprocessing.model_dump(mode="json"), "cut": cut.layer}
    digest.update(json.dumps(parts, sort_keys=True, default=str).encode())
    for variable in cut.backbone.variables:
        array = np.ascontiguousarray(variable.numpy())
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return f"fs:{digest.hexdigest()[:16]}"


def _stable(config: Any) -> Any:
    """Drop what changes without changing the meaning: unset options and bookkeeping."""
    if isinstance(config, dict):
        return {k: _stable(v) for k, v in config.items() if v is not None and k not in _VOLATILE_KEYS}
    if isinstance(config, list | tuple):
        return [_stable(value) for value in config]
    return config
