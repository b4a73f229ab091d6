"""`splitway inspect`: where a model can be cut, as a table, as JSON, as a picture."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from splitway.api.inspection import Inspection
from splitway.api.pixels import told_in_words
from splitway.cli.console import ERR, OUT
from splitway.cli.models.plot import Line, Plot
from splitway.errors import ModelError
from splitway.splitter.cuts import CutOption

_SHOWN = 10
_NUMBERS = ("tensors", "KB/row", "FLOPs", "parameters", "head ms")
_LEGEND = (
    "tensors: how many cross, KB/row: what they weigh; FLOPs and parameters: the backbone's share; head ms: what each "
    "further head on the same features costs, the wire included. Estimates."
)


def print_table(found: Inspection, *, every: bool) -> None:
    """Print the best cuts, or every layer with the reason why it cannot be cut; say of those that are left out."""
    rank, *numbers = (Column(name, justify="right") for name in ("", *_NUMBERS))
    layer = Column("after layer", no_wrap=True, overflow="ignore")
    table = Table(rank, layer, *numbers, "", box=None, header_style="bold")
    for place, cut in found.ranks() if every else list(enumerate(found.best, start=1))[:_SHOWN]:
        style = "bold" if place == 1 else "dim" if place is None else None
        remark = "" if cut.has_a_backbone else "next to nothing comes before it"
        table.add_row("" if place is None else str(place), *_cells(cut), cut.why_not or remark, style=style)
    OUT.print(table)
    can = f"{len(found.best)} of {len(found.cuts)} layers of {found.model} can be cut"
    shown = "" if every else f", and the best {min(_SHOWN, len(found.best))} are listed; --all lists every layer"
    OUT.print(f"{can}{shown}. {_LEGEND}", style="dim")
    if found.pixels is not None:
        OUT.print(f"Pictures: {told_in_words(found.pixels)}.", style="dim", markup=False)


def _cells(cut: CutOption) -> list[str]:
    if cut.why_not is not None:
        return [cut.layer, *[""] * len(_NUMBERS)]
    shares = [f"{share * 100:.1f} %" for share in (cut.flops_before, cut.parameters_before)]
    return [cut.layer, str(len(cut.tensors)), f"{cut.bytes_per_row / 1e3:.1f}", *shares, f"{cut.head_ms:.2f}"]


def print_json(found: Inspection) -> None:
    """Print the same as one JSON object, the cuts in the order of the layers."""
    cuts = []
    for rank, cut in found.ranks():
        tensors = [{"shape": wire.shape, "dtype": wire.dtype} for wire in cut.tensors]
        figures = {name: value for name, value in vars(cut).items() if name != "place"}
        cuts.append({"rank": rank, **figures, "tensors": tensors, "has_a_backbone": cut.has_a_backbone})
    best = found.best[0].layer if found.best else None
    print(json.dumps({"model": found.model, "best": best, "pictures": _pictures(found), "cuts": cuts}))


def _pictures(found: Inspection) -> dict[str, Any] | None:
    """The range of its pixels that a model tells, and by which layers; None where there is none to tell."""
    told = found.pixels
    if told is None:
        return None
    return {"range": told.range, "scaled_by": [step.name for step in told.steps], "says": told_in_words(told)}


def print_next(found: Inspection, model: Path, options: str) -> None:
    """Print the command that splits the model at its best cut, with what it needs; none where it cannot be cut."""
    if found.best:
        scaled = " --range=LOW:HIGH" if found.pixels is not None and found.pixels.range is None else ""
        ERR.print(f"next: splitway split {shlex.quote(str(model))}{scaled}{options}", markup=False)


def write_plot(found: Inspection, path: Path) -> None:
    """Draw over the model's depth what would have to travel, and what a further head would cost.

    Raises:
        ModelError: no layer can be cut, so that there is nothing to draw.
    """
    places = [(place, cut) for place, cut in enumerate(found.cuts, start=1) if cut.why_not is None]
    lines = [
        Line("KB per row", "#2563eb", [(place, cut.bytes_per_row / 1e3) for place, cut in places], dots=False),
        Line("a further head, ms", "#d97706", [(place, cut.head_ms) for place, cut in places], dots=False),
    ]
    title = f"{found.model}: what a cut after each layer costs"
    drawn = Plot(title, "layer", "KB per row, ms", lines, logarithmic="y").as_svg()
    if not drawn:
        raise ModelError("there is nothing to draw: no layer of this model can be cut")
    path.write_text(drawn, encoding="utf-8")
    ERR.print(f"drawn into {path}", markup=False)
