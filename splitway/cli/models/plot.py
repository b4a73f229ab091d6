"""Plots as SVG text, drawn by matplotlib, which is imported where something is drawn and leaves no file behind."""

from __future__ import annotations

import io
import logging
import math
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from splitway.errors import SetupError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (8.0, 4.0)
_MARGIN_INCHES = 0.25
"""Around what is cut to fit: viewers draw text in fonts of their own, which may be wider."""
_FOLDER = "MPLCONFIGDIR"
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One series with its place in the legend."""

    name: str
    colour: str
    points: Points
    dashed: bool = False
    dots: bool = True


@dataclass(frozen=True)
class Plot:
    """Lines over one pair of axes; points that are not finite are left out."""

    title: str
    """For readers who cannot see it."""
    x_title: str
    y_title: str
    lines: Sequence[Line]
    logarithmic: str = ""
    """Names the axes that are: "x", "y" or "xy"."""
    x_ticks: Sequence[float] = ()
    """Where the grid is; round numbers if not given."""

    def as_svg(self) -> str:
        """SVG that may stand in a page or in a file of its own; nothing if there is no point to draw."""
        finite = [sorted(point for point in line.points if all(map(math.isfinite, point))) for line in self.lines]
        if not any(finite):
            return ""
        figure = new_figure(_INCHES)
        axes = figure.subplots()
        for line, points in zip(self.lines, finite, strict=True):
            x, y = [point[0] for point in points], [point[1] for point in points]
            dash, dot = "--" if line.dashed else "-", "o" if line.dots else ""
            axes.plot(x, y, dash, marker=dot, color=line.colour, label=line.name)
        axes.set(xlabel=self.x_title, ylabel=self.y_title)
        axes.grid(color="#e5e7eb")
        _scale(axes, self.logarithmic, self.x_ticks)
        figure.legend(loc="outside upper left", ncols=len(self.lines), frameon=False)
        return as_svg(figure, self.title)


def _scale(axes: Axes, logarithmic: str, x_ticks: Sequence[float]) -> None:
    """Set both scales: logarithmic with round numbers, or linear from zero."""
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415 - as below

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in logarithmic:
            axes.set(**{f"{name}scale": "log"})
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
        else:
            axes.set(**{f"{name}lim": (0, None)})
    if x_ticks:
        axes.set_xticks(x_ticks)


def new_figure(inches: tuple[float, float], layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure, which makes room for its labels unless it has no layout.

    What matplotlib caches on import goes into a folder that is removed, unless the user names one.

    Raises:
        SetupError: matplotlib is not installed.
    """
    if sys.modules.get("matplotlib") is None:  # `tensorflow_hushed` keeps Keras from importing it
        sys.modules.pop("matplotlib", None)
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # a slow look for fonts is no news
    with tempfile.TemporaryDirectory(prefix="splitway-plot-") as folder:
        named = os.environ.setdefault(_FOLDER, folder)
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415 - takes seconds, and is an extra
        except ModuleNotFoundError as error:
            raise SetupError("a plot cannot be drawn without matplotlib: install splitway[split]") from error
        finally:
            if named == folder:
                del os.environ[_FOLDER]
    return Figure(inches, layout=layout)


def as_svg(figure: Figure, title: str, *, cut_to_fit: bool = False) -> str:
    """The figure as one SVG element, with a title for readers who cannot see it.

    With `cut_to_fit` it is as large as what is drawn, and no text is cut off; else as large as it was made.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - as above

    text = io.StringIO()
    # text stays text, and the same figure gives the same bytes
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "splitway"}), warnings.catch_warnings():
        # text is drawn by the viewer, in its own fonts
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        size: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": _MARGIN_INCHES} if cut_to_fit else {}
        figure.savefig(text, format="svg", metadata=_NO_METADATA, **size)
    _, _, element = text.getvalue().partition("<svg ")
    label = f' role="img" aria-label="{escape(title)}"'
    return re.sub(r' width="[^"]*" height="[^"]*"', label, f"<svg {element}", count=1)
