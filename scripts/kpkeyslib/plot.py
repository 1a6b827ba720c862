# SPDX-License-Identifier: GPL-2.0
"""A plot of grouped horizontal bars as SVG, readable on light and dark screens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_STYLE = """\
text { font: 12px sans-serif; fill: #1f2328; }
.back { fill: #ffffff; } .grid { stroke: #d0d7de; } .zero { stroke: #57606a; }
.bar0 { fill: #8c959f; } .bar1 { fill: #0969da; } .bar2 { fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.back { fill: #0d1117; } .grid { stroke: #30363d; } .zero { stroke: #8b949e; }
.bar0 { fill: #6e7681; } .bar1 { fill: #58a6ff; } .bar2 { fill: #f0883e; }
}"""
_LEFT, _WIDTH, _LABEL, _TOP = 150, 320, 60, 60
_BAR, _GAP = 13, 9
_SMALLEST = 0.1  # on a logarithmic axis


class Panel(NamedTuple):
    """One quantity: values[series][group], and whether its axis is logarithmic."""

    title: str
    values: Sequence[Sequence[float]]
    log: bool = False
    unit: str = ""


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that hold zero and the range between them."""
    low, high = min(low, 0.0), max(high, 0.0)
    rough = (high - low or 1) / 5
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(m * scale for m in (1, 2, 5, 10) if m * scale >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


def decades(high: float) -> list[float]:
    last = max(0, math.ceil(math.log10(max(high, _SMALLEST)) - 1e-9))
    return [10.0 ** n for n in range(round(math.log10(_SMALLEST)), last + 1)]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x: float, bottom: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom:.1f}"/>'


def _panel(panel: Panel, left: float, bottom: float) -> list[str]:
    every = [value for line in panel.values for value in line]
    marks = decades(max(every)) if panel.log else ticks(min(every), max(every))

    def place(value: float) -> float:
        low, high, at = marks[0], marks[-1], value
        if panel.log:
            low, high, at = (math.log10(max(x, _SMALLEST)) for x in (low, high, value))
        return left + _WIDTH * (at - low) / (high - low)

    zero = place(0)
    lines = [_text(left, _TOP - 12, panel.title)]
    for mark in marks:
        lines += [_line(place(mark), bottom, "grid"),
                  _text(place(mark), bottom + 15, f"{mark:g}", "middle")]
    group = _BAR * len(panel.values) + _GAP
    for index, values in enumerate(panel.values):
        for row, value in enumerate(values):
            y = _TOP + _GAP / 2 + row * group + index * _BAR
            start, end = sorted((zero, place(value)))
            lines += [f'<rect class="bar{index}" x="{start:.1f}" y="{y:.1f}"'
                      f' width="{end - start:.1f}" height="{_BAR - 2}"/>',
                      _text(end + 4, y + _BAR - 3, f"{round(value, 2) + 0:.2f}{panel.unit}")]
    return [*lines, _line(zero, bottom, "zero")]


def svg(groups: Sequence[str], series: Sequence[str], panels: Sequence[Panel]) -> str:
    """The plot: the panels side by side, a group of bars for each name."""
    group = _BAR * len(series) + _GAP
    bottom = _TOP + group * len(groups)
    width, height = _LEFT + len(panels) * (_WIDTH + _LABEL + 10), bottom + 25
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
    ]
    for index, name in enumerate(series):
        x = _LEFT + index * 130
        lines += [f'<rect class="bar{index}" x="{x}" y="13" width="12" height="12"/>',
                  _text(x + 18, 23, name)]
    for row, name in enumerate(groups):
        lines.append(_text(_LEFT - 8, _TOP + row * group + group / 2 + 4, name, "end"))
    for index, panel in enumerate(panels):
        lines += _panel(panel, _LEFT + index * (_WIDTH + _LABEL + 10), bottom)
    return "\n".join([*lines, "</svg>"]) + "\n"
