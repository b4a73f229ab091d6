"""TensorFlow running the bundle's SavedModel: the reference engine, and the one for what LiteRT cannot convert."""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import BundleError, EngineFailed
from splitway.manifest import ENDPOINT, SAVED_MODEL
from splitway.runtime.engine import Arrays


class TensorFlowEngine:
    """One SavedModel with a dynamic number of rows."""

    name = "tensorflow"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        bundle.engine_files(self.name)
        path = bundle.folder / SAVED_MODEL
        with contextlib.suppress(RuntimeError):  # the count is fixed once TensorFlow has run anything in this process
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        try:
            self._module = tf.saved_model.load(str(path))
            self._serve = self._module.signatures[ENDPOINT]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise BundleError(f"{path} cannot be loaded by TensorFlow: {error}") from error

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        try:
            outputs = self._serve(**{name: tf.constant(array) for name, array in inputs.items()})
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise EngineFailed(f"TensorFlow could not run the model: {error}") from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}
