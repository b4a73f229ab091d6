"""Whether tensors are what a model takes: their names, types and shapes, and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from splitway.errors import InvalidInput, TooLarge
from splitway.manifest import TensorEntry
from splitway.runtime.batching.unfit import check_range
from splitway.wire.tensor import Tensor, TensorSpec


class InputCheck:
    """Refuses what a model does not take.

    Args:
        accepts: the tensors of one of these alternatives are taken, all of them and no others.
        entries: the model's own inputs, some of which have a range.
        max_rows: rows that may come at once; None for any number.
    """

    def __init__(
        self, accepts: Sequence[Sequence[TensorSpec]], entries: Iterable[TensorEntry], max_rows: int | None = None
    ) -> None:
        self._accepts = {frozenset(s.name for s in specs): {s.name: s for s in specs} for specs in accepts}
        self._ranges = {entry.name: entry for entry in entries if entry.range is not None}
        self._max_rows = max_rows

    def alternative(self, names: Sequence[str]) -> dict[str, TensorSpec]:
        """What was sent, as the model knows it. Raises InvalidInput where it is no complete alternative."""
        specs = self._accepts.get(frozenset(names))
        if specs is None or len(names) != len(specs):
            known = " or ".join(" and ".join(map(repr, each)) for each in self._accepts.values())
            raise InvalidInput(f"the input must be exactly {known}, not {', '.join(map(repr, names))[:200]}")
        return specs

    def check(self, tensors: Sequence[Tensor], specs: dict[str, TensorSpec]) -> None:
        """Check tensors against their alternative.

        Raises:
            InvalidInput: a type, a shape or a number is not what the model takes, or the rows differ in number.
            TooLarge: there are too many rows.
        """
        first = tensors[0]
        for tensor in tensors:
            specs[tensor.name].check(tensor)
            self._check_rows_and_values(tensor)
            if tensor.rows != first.rows:
                raise InvalidInput(
                    f"tensor {tensor.name!r} has {tensor.rows} rows, but {first.name!r} has {first.rows}; "
                    "every tensor must have as many"
                )
            if tensor.name in self._ranges:
                check_range(self._ranges[tensor.name], tensor.array)

    def _check_rows_and_values(self, tensor: Tensor) -> None:
        if tensor.rows < 1:
            raise InvalidInput(f"tensor {tensor.name!r} has no rows")
        if self._max_rows is not None and tensor.rows > self._max_rows:
            raise TooLarge(
                f"tensor {tensor.name!r} has {tensor.rows} rows; at most {self._max_rows} are allowed at once"
            )
        if tensor.datatype.startswith("FP") and not np.isfinite(tensor.array).all():
            raise InvalidInput(f"tensor {tensor.name!r} holds NaN or infinity; every number must be finite")
