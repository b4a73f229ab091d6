"""Requests that may bring down the replica that they are on: for a while they get one attempt and no other.

A request that was on two replicas when their connections were lost is remembered by its digest; a third replica is not
given to it, nor a second the next time that it comes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import numpy as np

from splitway.wire.aside import by_size
from splitway.wire.deadline import Clock
from splitway.wire.tensor import Tensor

_KEPT_S = 60.0
_MOST = 1024


class Suspects:
    """Digests of requests, each for a minute, and no more than 1,024."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        self._forget()
        return len(self._until_s)

    def add(self, digest: bytes) -> None:
        """A second connection has been lost with this request."""
        self._until_s[digest] = self._clock() + _KEPT_S
        self._until_s.move_to_end(digest)
        if len(self._until_s) > _MOST:
            self._until_s.popitem(last=False)

    def __contains__(self, digest: bytes) -> bool:
        self._forget()
        return digest in self._until_s

    def _forget(self) -> None:
        now_s = self._clock()
        while self._until_s and next(iter(self._until_s.values())) <= now_s:
            self._until_s.popitem(last=False)


async def digest_of(model: str, inputs: Sequence[Tensor]) -> bytes:
    """Return what is the same for equal inputs of one model, whatever else their requests say."""
    return await by_size(sum(tensor.size for tensor in inputs), partial(_digest, model, inputs))


def _digest(model: str, inputs: Sequence[Tensor]) -> bytes:
    found = hashlib.sha256(model.encode())
    for tensor in inputs:
        found.update(f"\0{tensor.name}\0{tensor.datatype}\0{tensor.shape}\0".encode())
        if isinstance(tensor.data, np.ndarray):
            found.update(np.ascontiguousarray(tensor.data).data.cast("B") if tensor.data.size else b"")
        else:
            for element in tensor.data:
                found.update(len(element).to_bytes(8, "little"))
                found.update(element)
    return found.digest()
