"""An inference request and its answer, as every protocol has them."""

from __future__ import annotations

from typing import NamedTuple

from splitway.errors import InvalidInput
from splitway.wire.tensor import NO_PARAMETERS, Parameters, Tensor

FEATURE_SPACE = "feature_space"
CLASSIFICATION = "classification"
ALL_LABELS = "all_labels"
"""Flag of an output whose classes are asked for: a multi-label head gives, in place of as many as `classification`
says, every label that reaches its threshold, and at least the best one."""
BINARY_OUTPUT, BINARY_DATA = "binary_data_output", "binary_data"
"""Flags: of the request for every output, and of one output."""


class RequestedOutput(NamedTuple):
    """An output the caller asks for by name."""

    name: str
    parameters: Parameters = NO_PARAMETERS

    @property
    def top_k(self) -> int:
        """How many classes to give instead of the tensor; 0 for the tensor itself. Raises InvalidInput for no count."""
        value = self.parameters.get(CLASSIFICATION, 0)
        if type(value) is not int or value < 0:
            raise InvalidInput(f"parameter classification of output {self.name!r} must be a whole number from 0 up")
        return value

    @property
    def all_labels(self) -> bool:
        """Whether a multi-label head is asked for every label that reaches its threshold."""
        return self.parameters.get(ALL_LABELS) is True


class InferRequest(NamedTuple):
    """One inference: input tensors, and the outputs asked for (none means all)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    id: str | None = None
    parameters: Parameters = NO_PARAMETERS

    def wants_binary(self, output: str) -> bool:
        """Whether the caller wants this output as binary; what is said per output wins."""
        asked = next((o.parameters.get(BINARY_DATA) for o in self.outputs if o.name == output), None)
        return bool(self.parameters.get(BINARY_OUTPUT, False) if asked is None else asked)

    @property
    def timeout_s(self) -> float | None:
        """The time limit among the request's parameters, in seconds (on the wire: microseconds)."""
        value = self.parameters.get("timeout")
        if value is None or value == 0:
            return None
        if type(value) is not int or value < 0:
            raise InvalidInput("parameter timeout must be a positive number of microseconds")
        return value / 1e6


class InferResponse(NamedTuple):
    """One answer."""

    model_name: str
    model_version: str
    outputs: tuple[Tensor, ...]
    id: str | None = None
    parameters: Parameters = NO_PARAMETERS

    @property
    def size(self) -> int:
        """Bytes of its outputs."""
        return sum(tensor.size for tensor in self.outputs)

    def output(self, name: str) -> Tensor:
        """Return the output of that name. Raises InvalidInput if there is none."""
        for tensor in self.outputs:
            if tensor.name == name:
                return tensor
        raise InvalidInput(f"the answer of {self.model_name!r} has no output {name!r}")
