"""Describes the computation of a layer, without its weights, as JSON. Feature spaces are hashes of these descriptions.

Layers that compute different things must have different descriptions, so unknown values are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from splitway.errors import ModelError
from splitway.splitter.readers.foreign import looking_at, said, shown, tried

_VOLATILE_KEYS = ("shared_object_id", "build_config", "module", "registered_name", "name", "trainable")
_VOLATILE_ENDS = ("_initializer", "_regularizer", "_constraint")
"""Keys about the making or training of weights. The weights themselves are part of the space."""


def identity_of(layer: Any, arguments: Any, inputs: list[Any]) -> dict[str, Any]:
    """Describe one use of a layer or operation, by what it is given as (args, kwargs), and the model's tensors in them.

    Raises ModelError if something in it cannot be described.
    """
    places = {id(tensor): f"<{place}>" for place, tensor in enumerate(inputs)}
    where = shown(layer)
    with looking_at(layer, "described"):
        found = {"class": type(layer).__name__, "arguments": _plain(arguments, f"{where}: its argument", places)}
        if isinstance(layer, keras.layers.Layer):
            found["config"] = _stable(_config(layer, where), f"{where}: its setting")
        else:
            fields = {key: value for key, value in vars(layer).items() if not key.startswith("_")}
            found["config"] = _plain(fields, f"{where}: its setting", places)
        if hasattr(layer, "get_vocabulary"):
            words = layer.get_vocabulary
            found["vocabulary"] = [str(word) for word in (words() if callable(words) else words)]
    return found


def _config(value: Any, where: str) -> Mapping[str, Any]:
    """The configuration of a layer or an initializer. Raises ModelError, with advice, if it cannot be read."""
    try:
        config = value.get_config()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ModelError(
            f"{where} cannot be described, for its get_config fails ({said(error)}): give the class a get_config, or "
            "split what model.export('folder') writes"
        ) from error
    if not isinstance(config, Mapping):
        kind = type(config).__name__
        raise ModelError(f"{where} cannot be described, for its get_config gives a {kind} and not a dictionary")
    return config


def _stable(config: Any, where: str) -> Any:
    """Drop entries that do not affect the result: unset options, names and bookkeeping."""
    if isinstance(config, Mapping):
        if str(config.get("class_name")).endswith("DTypePolicy"):  # here the name is the meaning
            return [config["class_name"], str(config["config"])]
        kept = {str(name): setting for name, setting in config.items() if setting is not None}
        names = [name for name in kept if name not in _VOLATILE_KEYS and not name.endswith(_VOLATILE_ENDS)]
        return {name: _stable(kept[name], f"{where} {name!r}") for name in names}
    if isinstance(config, list | tuple):
        return [_stable(value, where) for value in config]
    return _plain(config, where, {})


def _plain(value: Any, where: str, places: Mapping[int, str]) -> Any:
    """A value as JSON, different for each; a tensor of the model is its place among the inputs."""
    if id(value) in places:
        return places[id(value)]
    if isinstance(value, list | tuple | tf.TensorShape):
        return [_plain(each, where, places) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{where} {key!r}", places) for key, each in value.items()}
    if isinstance(value, slice):
        return ["slice", *(_plain(each, where, places) for each in (value.start, value.stop, value.step))]
    return _leaf(value, where)


def _leaf(value: Any, where: str) -> Any:
    if isinstance(value, np.ndarray | np.generic | tf.Tensor | tf.Variable | keras.Variable):
        array = np.asarray(keras.ops.convert_to_numpy(value))
        return [str(array.dtype), *array.shape, str(array.tolist()) if array.dtype == object else array.tobytes().hex()]
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, tf.DType | np.dtype | complex | bytes) or value is Ellipsis:
        return [type(value).__name__, str(value)]
    if isinstance(value, keras.DTypePolicy):
        return [type(value).__name__, value.name]
    if isinstance(value, keras.layers.Layer | keras.initializers.Initializer):
        return [type(value).__name__, _stable(_config(value, where), where)]
    name = tried(lambda: value.__qualname__)
    if callable(value) and isinstance(name, str) and "<" not in name:
        return [value.__module__, name]
    raise ModelError(f"{where} is a {type(value).__name__}, whose meaning cannot be written down: use plain values")
