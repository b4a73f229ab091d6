"""Layers and operations that only move or scale numbers, as far as their kind tells.

What scales pictures is among them: `splitway/splitter/scaling.py` runs them to see what they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from splitway.splitter.readers.saved_model_identity import Held


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KERAS_OPERATIONS = _names(
    "Absolute Add BroadcastTo Cast Clip Concatenate Divide ExpandDims Flip GetItem Maximum Mean Minimum Moveaxis "
    "Multiply Negative Pad Power RGBToGrayscale Repeat Reshape Resize Split Sqrt Square Squeeze Stack Subtract "
    "SwapAxes Take Tile Transpose TrueDivide Unstack"
)
"""Operations of `keras.ops`, by class."""
_TENSORFLOW_OPERATIONS = _names(
    "Add AddV2 BiasAdd Cast ConcatV2 Const Div DivNoNan ExpandDims Fill GatherV2 Identity Maximum Mean Minimum "
    "MirrorPad Mul Neg Pack Pad PadV2 Prod Range Reciprocal RealDiv Reshape ResizeArea ResizeBicubic ResizeBilinear "
    "ResizeNearestNeighbor ReverseV2 Rsqrt Shape Slice Split SplitV Sqrt Square Squeeze StridedSlice Sub Tile "
    "Transpose Unpack"
)
"""Operations of a SavedModel, by type."""
_OF_NORMALIZATION = 2


def is_plain_layer(inside: Iterable[Any]) -> bool:
    """Whether a layer with all that is inside it is Keras' own, and learns nothing; or it is such an operation."""
    return all(_is_plain(each) for each in inside)


def _is_plain(layer: Any) -> bool:
    kind = type(layer)
    if not kind.__module__.startswith("keras."):
        return False
    if not isinstance(layer, keras.layers.Layer):
        return kind.__name__ in _KERAS_OPERATIONS
    return isinstance(layer, keras.layers.Normalization) or not layer.weights


def are_plain_operations(types: Iterable[str], weights: Sequence[Held]) -> bool:
    """Whether operations of a SavedModel with these weights learn nothing.

    A Normalization has two variables that are not trained; a BatchNormalization more, or others.
    """
    if not _TENSORFLOW_OPERATIONS.issuperset(types):
        return False
    variables = [weight.keeper for weight in weights if isinstance(weight.keeper, tf.Variable)]
    return len(variables) <= _OF_NORMALIZATION and not any(variable.trainable for variable in variables)
