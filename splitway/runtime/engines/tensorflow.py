"""TensorFlow running the bundle's SavedModel: the reference engine, and the one for what LiteRT cannot convert."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import BundleError, EngineFailed, ModelError, in_one_line
from splitway.manifest import ENDPOINT, SAVED_MODEL
from splitway.saved_model_check import refuse_unsafe
from splitway.wire.tensor import Arrays


class TensorFlowEngine:
    """One SavedModel with a dynamic number of rows.

    TensorFlow reads files by itself. So that it reads what was hashed, whatever becomes of the bundle meanwhile, it is
    given a copy that no other process can write to, and that goes when the model is loaded. A graph that reaches out of
    the model, to files or to Python, is not loaded at all: loading already runs parts of it.
    """

    name = "tensorflow"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        files = bundle.engine_files(self.name)
        path = bundle.folder / SAVED_MODEL
        copy = bundle.folder
        with contextlib.suppress(RuntimeError):  # the count is fixed once TensorFlow has run anything in this process
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        try:
            with tempfile.TemporaryDirectory(prefix="splitway-") as name:
                copy = Path(name)
                for each in files:
                    (copy / each).parent.mkdir(parents=True, exist_ok=True)
                    (copy / each).write_bytes(bundle.content(each))
                refuse_unsafe(copy / SAVED_MODEL)
                self._module = tf.saved_model.load(str(copy / SAVED_MODEL))
            self._serve = self._module.signatures[ENDPOINT]
        except (ModelError, OSError, ValueError, KeyError, tf.errors.OpError) as error:
            reason = in_one_line(error).replace(str(copy), str(bundle.folder))
            raise BundleError(f"{path} cannot be loaded by TensorFlow: {reason}") from error

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        try:
            outputs = self._serve(**{name: tf.constant(array) for name, array in inputs.items()})
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise EngineFailed("TensorFlow could not run the model", private=in_one_line(error)) from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}
