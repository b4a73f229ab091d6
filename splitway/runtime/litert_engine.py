"""LiteRT (formerly TensorFlow Lite) with XNNPACK: the default engine on a CPU.

The model is converted for one row and run row by row: batches gain nothing on a CPU, and each answer is the same bit
for bit whatever else was in its batch.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import BundleError, EngineFailed
from splitway.runtime.engine import Arrays


@lru_cache(maxsize=2)
def _content(path: Path, sha256: str) -> bytes:  # noqa: ARG001 - the hash is part of the key
    """The file's bytes, held once however many interpreters read them; another content has another hash."""
    return path.read_bytes()


class LiteRTEngine:
    """One interpreter. It is not thread-safe: shared by two threads it fails some requests."""

    name = "litert"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        (path,) = bundle.engine_files(self.name).values()
        (sha256,) = (file.sha256 for file in bundle.manifest.engine_files if file.engine == self.name)
        try:
            self._interpreter = Interpreter(model_content=_content(path, sha256), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path} cannot be loaded by LiteRT: {error}") from error
        manifest = bundle.manifest
        details_in, details_out = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(details_in) != len(manifest.inputs) or len(details_out) != len(manifest.outputs):
            raise BundleError(f"{path} has other inputs or outputs than its manifest")
        self._input, self._input_index = manifest.inputs[0].name, details_in[0]["index"]
        self._output, self._output_index = manifest.outputs[0].name, details_out[0]["index"]

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        rows = inputs[self._input]
        try:
            return {self._output: np.concatenate([self._row(rows[i : i + 1]) for i in range(len(rows))])}
        except (ValueError, RuntimeError) as error:
            raise EngineFailed(f"LiteRT could not run the model: {error}") from error

    def _row(self, row: NDArray[Any]) -> NDArray[Any]:
        self._interpreter.set_tensor(self._input_index, row)
        self._interpreter.invoke()
        output: NDArray[Any] = self._interpreter.get_tensor(self._output_index)
        return output
