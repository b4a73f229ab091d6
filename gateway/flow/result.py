"""The outcome of a request: the answer of every stage, and the heads that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from splitway.answers.classes.predictions import Prediction
from splitway.errors import SplitwayError
from splitway.gateway.flow.feature_cache import CacheResult
from splitway.gateway.hop.turn import HopAnswer, HopTimings
from splitway.gateway.rollout.rollout import Choice
from splitway.names import ATTEMPT_HEADER, RELEASE_HEADER


@dataclass
class Result:
    """The outcome of a request, and the release that it is of."""

    choice: Choice
    before: Mapping[str, HopAnswer]
    """The answers of the extractor and the bodies, in order; the heads were given the last one's features."""
    cache: CacheResult | None
    heads: Mapping[str, HopAnswer]
    failures: dict[str, SplitwayError]
    """Heads that gave no answer, and why."""

    @property
    def hops(self) -> dict[str, HopAnswer]:
        """Every stage's answer; those of the heads lie beside each other in time."""
        return {**self.before, **self.heads}

    @property
    def feature_space(self) -> str:
        """The space of the features that the heads were given."""
        return str([*self.before.values()][-1].model.gives)

    @property
    def release(self) -> str | None:
        return None if self.choice.pins is None else self.choice.pins.release

    @property
    def predictions(self) -> dict[str, Sequence[Prediction]]:
        """The classes, best first, of each head that answered, where they were asked for."""
        return {name: hop.predictions for name, hop in self.heads.items()}

    @property
    def longest(self) -> list[HopTimings]:
        """The hops that the caller waited for, one after the other."""
        last = max((hop.timings for hop in self.heads.values()), key=lambda timings: timings.total)
        return [*(hop.timings for hop in self.before.values()), last]

    @property
    def headers(self) -> dict[str, str]:
        """Headers beside the answer: attempts of the stage that needed most, release, how it met the cache."""
        headers = {ATTEMPT_HEADER: str(max(hop.attempts for hop in self.hops.values()))}
        if self.release is not None:
            headers[RELEASE_HEADER] = self.release
        if self.cache is not None:
            headers["cache-status"] = self.cache.header
        return headers
