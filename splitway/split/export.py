"""From a Keras model to the files that engines read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from splitway.bundle import EngineFile, engine_file_entry
from splitway.errors import ModelError

LITERT_FILE = "model.tflite"
SAVED_MODEL = "saved_model"
ENDPOINT = "serve"


def export_saved_model(model: keras.Model, folder: Path, input_name: str, output_name: str, rows: int | None) -> None:
    """Write a SavedModel with one endpoint, for `rows` rows or (None) any number."""
    shape = (rows, *model.inputs[0].shape[1:])
    spec = tf.TensorSpec(shape, model.inputs[0].dtype, name=input_name)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(ENDPOINT, lambda x: {output_name: model(x, training=False)}, input_signature=[spec])
    archive.write_out(str(folder), verbose=False)


def convert_to_litert(model: keras.Model, input_name: str, output_name: str) -> bytes:
    """Return a LiteRT model of one row. Raises ModelError if an operation cannot be converted."""
    with tempfile.TemporaryDirectory(prefix="splitway-") as folder:
        try:
            export_saved_model(model, Path(folder), input_name, output_name, rows=1)
            converted: bytes = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[ENDPOINT]).convert()
        except Exception as error:  # Keras and the converter raise what their C++ parts happen to raise
            raise ModelError(
                f"the model cannot be converted to LiteRT: {str(error).strip().splitlines()[0]}"
            ) from error
    return converted


def export_engines(model: keras.Model, folder: Path, input_name: str, output_name: str) -> tuple[EngineFile, ...]:
    """Write the files of every engine into a bundle's folder and describe them."""
    litert = folder / LITERT_FILE
    litert.write_bytes(convert_to_litert(model, input_name, output_name))
    saved_model = folder / SAVED_MODEL
    export_saved_model(model, saved_model, input_name, output_name, rows=None)
    files = [engine_file_entry(folder, litert, "litert")]
    files += [engine_file_entry(folder, p, "tensorflow") for p in sorted(saved_model.rglob("*")) if p.is_file()]
    return tuple(files)
