"""LiteRT (formerly TensorFlow Lite) with XNNPACK: the default engine on a CPU.

The model is converted for one row and run row by row: batches gain nothing on a CPU, and each answer is the same bit
for bit whatever else was in its batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import BundleError, EngineFailed, in_one_line
from splitway.manifest import ENDPOINT
from splitway.wire.tensor import Arrays

_MOST_KEPT = 65_536
"""Characters of errors."""


class LiteRTEngine:
    """One interpreter. It is not thread-safe: shared by two threads it fails some requests."""

    name = "litert"

    def __init__(self, bundle: Bundle, threads: int) -> None:
        files = bundle.engine_files(self.name)
        if len(files) > 1:
            raise BundleError(f"{bundle.folder} has {len(files)} files for LiteRT, which reads one")
        ((path, where),) = files.items()
        self._content, self._threads = bundle.content(path), threads
        try:
            self._interpreter = self._open()
            runner = self._interpreter.get_signature_runner(ENDPOINT)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{where} cannot be loaded by LiteRT: {error}") from error
        self._inputs = _indices(runner.get_input_details())
        self._outputs = _indices(runner.get_output_details())
        manifest = bundle.manifest
        names = ({entry.name for entry in manifest.inputs}, {entry.name for entry in manifest.outputs})
        if names != (set(self._inputs), set(self._outputs)):
            raise BundleError(f"{where} has other inputs or outputs than its manifest")

    def _open(self) -> Interpreter:
        """LiteRT's interpreter keeps the model's bytes, and every error's text for as long as it lives."""
        self._said = ""
        interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
        interpreter.allocate_tensors()
        return interpreter

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(inputs.values())))
        try:
            answers = [self._row({name: array[i : i + 1] for name, array in inputs.items()}) for i in range(rows)]
        except (ValueError, RuntimeError) as error:
            raise EngineFailed("LiteRT could not run the model", private=self._new_of(in_one_line(error))) from error
        if rows == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in self._outputs}

    def _new_of(self, said: str) -> str:
        """What an error says beyond those before it; an interpreter that has kept too many is replaced."""
        new = said.removeprefix(self._said).strip() or said
        self._said = said
        if len(said) > _MOST_KEPT:
            self._interpreter = self._open()
        return new

    def _row(self, row: Arrays) -> dict[str, NDArray[Any]]:
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, row[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


def _indices(details: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {name: int(detail["index"]) for name, detail in details.items()}
