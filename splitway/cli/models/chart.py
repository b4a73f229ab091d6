"""Line charts as SVG text, drawn here so that a report is one self-contained file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 20, 44, 46
_STYLE = (
    ".ground{fill:#fff}.grid{stroke:#e5e7eb}text{font:12px system-ui,sans-serif;fill:#374151}"
    "@media(prefers-color-scheme:dark){.ground{fill:#111827}.grid{stroke:#374151}text{fill:#d1d5db}}"
)
"""Of a drawing in a file of its own; a page brings its own."""
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
class Scale:
    """Takes numbers to pixels, by their logarithm where they span decades."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, *, logarithmic: bool) -> Scale:
        """Make room for these values, and from zero where the scale is linear."""
        low, high = min(values), max(values)
        if not logarithmic:
            return cls(0.0, high * 1.05 or 1.0, start, end, False)
        return cls(low / 1.25, high * 1.25, start, end, True)

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers within the scale."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
            return [tick for tick in found if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough)
        return [step * count for count in range(int(self.high / step) + 1)]


def chart(
    title: str,
    x_title: str,
    y_title: str,
    lines: Sequence[Line],
    *,
    logarithmic: str = "",
    x_ticks: Sequence[float] = (),
) -> str:
    """Draw lines as a figure of a page; nothing if there is no point to draw."""
    drawn = drawing(title, x_title, y_title, lines, logarithmic=logarithmic, x_ticks=x_ticks)
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawn}</figure>" if drawn else ""


def drawing(
    title: str,
    x_title: str,
    y_title: str,
    lines: Sequence[Line],
    *,
    logarithmic: str = "",
    x_ticks: Sequence[float] = (),
    alone: bool = False,
) -> str:
    """Draw lines over one pair of axes, as SVG that may stand in a page or in a file of its own.

    Args:
        title: for who can't see it.
        x_title: under the axis.
        y_title: beside the axis.
        lines: what is drawn; points that are not finite are left out.
        logarithmic: names the axes that are: "x", "y" or "xy".
        x_ticks: where the grid is; round numbers if not given.
        alone: whether it is a file of its own, and needs its style and a ground.
    """
    finite = [
        Line(each.name, each.colour, [p for p in each.points if all(map(math.isfinite, p))], each.dashed, each.dots)
        for each in lines
    ]
    points = [point for each in finite for point in each.points]
    if not points:
        return ""
    x = Scale.over([p[0] for p in points], _LEFT, _WIDTH - _RIGHT, logarithmic="x" in logarithmic)
    y = Scale.over([p[1] for p in points], _HEIGHT - _BOTTOM, _TOP, logarithmic="y" in logarithmic)
    parts = [
        *_grid(x, y, x_ticks or x.ticks()),
        *(part for each in finite for part in _drawn(each, x, y)),
        *_legend(finite),
    ]
    parts += [
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x_title, "middle"),
        f'<text x="14" y="{_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {_HEIGHT / 2})">'
        f"{escape(y_title)}</text>",
    ]
    ground = f'<style>{_STYLE}</style><rect class="ground" width="{_WIDTH}" height="{_HEIGHT}"/>' if alone else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{ground}{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _grid(x: Scale, y: Scale, x_ticks: Sequence[float]) -> list[str]:
    parts = []
    for tick in y.ticks():
        at = y(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(_text(_LEFT - 6, at + 4, f"{tick:g}", "end"))
    for tick in x_ticks:
        at = x(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(_text(at, _HEIGHT - _BOTTOM + 16, f"{tick:g}", "middle"))
    return parts


def _drawn(line: Line, x: Scale, y: Scale) -> list[str]:
    places = [(x(a), y(b)) for a, b in sorted(line.points)]
    way = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    parts = [f'<polyline points="{way}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>']
    if line.dots:
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.2" fill="{line.colour}"/>' for a, b in places]
    return parts


def _legend(lines: Sequence[Line]) -> list[str]:
    parts, left = [], float(_LEFT)
    for line in lines:
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(
            f'<line x1="{left}" x2="{left + 20}" y1="24" y2="24" stroke="{line.colour}" stroke-width="3"{dash}/>'
        )
        parts.append(_text(left + 26, 28, line.name, "start"))
        left += 50 + 7 * len(line.name)
    return parts
