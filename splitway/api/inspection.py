"""Where a model can be cut, and which cut is best."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras

from splitway.api.given import room_from_environment
from splitway.api.pixels import pixels_told
from splitway.api.source import SourceOptions, load_and_show
from splitway.errors import ModelError
from splitway.splitter.cuts import CutOption, find_cuts, ranked
from splitway.splitter.pack import Say
from splitway.splitter.scaling import Scaling


@dataclass(frozen=True)
class Inspection:
    """A model's cuts: all in the order of its layers, and those that can be made, best first."""

    model: str
    cuts: list[CutOption]
    best: list[CutOption]
    pixels: Scaling | None = None
    """What the model's first layers tell of its pixels, where it takes pictures of floating-point numbers."""

    def ranks(self) -> list[tuple[int | None, CutOption]]:
        """Every cut with its rank from 1, None where it cannot be made, in the order of the layers."""
        places = {id(cut): place for place, cut in enumerate(self.best, start=1)}
        return [(places.get(id(cut)), cut) for cut in self.cuts]


def inspect_model(model: Path | keras.Model, options: SourceOptions, say: Say) -> Inspection:
    """Read a model and find its cuts. Raises ModelError, SetupError."""
    loaded = load_and_show(model, options, say)
    say("looking for cuts")
    cuts = find_cuts(loaded.graph, room_from_environment())
    if not cuts:
        raise ModelError(f"{model if isinstance(model, Path) else loaded.name} has no layers to cut between")
    return Inspection(loaded.name, cuts, ranked(cuts), pixels_told(loaded.graph))
