"""What was sent and how it ended, and an oracle that knows the right answer to every picture."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from splitway.bundle import Bundle
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.runtime.inprocess import InProcessStage, in_turn

TOP_K = 5
Classes = list[tuple[int, np.float32]]
"""Index and confidence, best first."""


@dataclass(frozen=True)
class Entry:
    """One request: which picture, when it was due, how it ended."""

    picture: int
    due_s: float
    took_s: float
    status: int
    """0 if there was no answer at all."""
    classes: Classes
    detail: str
    attempts: int
    late_s: float
    """How long after it was due it was sent, which is the sender's own delay."""


class Pictures:
    """Different pictures, and the oracle's answer to each: the same bundles in this process."""

    def __init__(self, count: int, extractor: Bundle, head: Bundle) -> None:
        preprocessing = extractor.manifest.preprocessing
        assert preprocessing is not None
        stages = InProcessStage(extractor), InProcessStage(head)
        decode = PictureDecoder(preprocessing, PictureLimits())
        rng = np.random.default_rng(11)
        self.encoded = [_png(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(count)]
        answers = [in_turn(stages, {"pixels": decode(data)[None]})["probabilities"][0] for data in self.encoded]
        assert len({answer.tobytes() for answer in answers}) == count
        self._classes = [_best(answer) for answer in answers]

    def check(self, entry: Entry) -> None:
        """Raise unless an answer is, bit for bit, the one to its own picture."""
        assert entry.classes == self._classes[entry.picture], entry

    def is_right(self, entry: Entry) -> bool:
        return entry.classes == self._classes[entry.picture]


def _best(probabilities: np.ndarray[Any, np.dtype[np.float32]]) -> Classes:
    ranked = np.argsort(-probabilities, kind="stable")[:TOP_K]
    return [(int(index), probabilities[index]) for index in ranked]


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def quantile(times: Sequence[float], share: float) -> float:
    """The time that `share` of these were not over."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


@dataclass(frozen=True)
class History:
    """Everything that was sent, each with exactly one end."""

    entries: list[Entry]

    @property
    def success(self) -> float:
        return sum(entry.status == 200 for entry in self.entries) / len(self.entries)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(entry.status for entry in self.entries)

    def between(self, start_s: float, end_s: float = float("inf")) -> History:
        """What was due in this part of the run."""
        return History([entry for entry in self.entries if start_s <= entry.due_s < end_s])

    def latency_s(self, share: float, status: int = 200) -> float:
        """A quantile of the time that answers with this status took."""
        return quantile([entry.took_s for entry in self.entries if entry.status == status], share)

    def failures(self) -> str:
        """What the caller was told, for the message of a test that fails."""
        told = Counter((entry.status, entry.detail[:160]) for entry in self.entries if entry.status != 200)
        return json.dumps([[count, *what] for what, count in told.most_common(5)], indent=1)
