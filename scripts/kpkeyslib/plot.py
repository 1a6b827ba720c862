# SPDX-License-Identifier: GPL-2.0
"""A dot plot as SVG, readable on light and dark screens: a line a workload, a mark a kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

# Each kind of mark has a shape of its own: not everyone sees the colours
_STYLE = """\
text { font: 12px sans-serif; fill: #1f2328; } .title { font-weight: bold; }
.back { fill: #ffffff; } .grid { stroke: #d8dee4; } .zero { stroke: #57606a; }
.odd { fill: #f6f8fa; }
.mark0 { fill: #8c959f; } .mark1 { fill: #bc4c00; } .mark2 { fill: #0969da; }
.mark3 { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.back { fill: #0d1117; } .grid { stroke: #30363d; } .zero { stroke: #8b949e; }
.odd { fill: #161b22; }
.mark0 { fill: #8b949e; } .mark1 { fill: #f0883e; } .mark2 { fill: #58a6ff; }
.mark3 { fill: #56d364; }
}"""
_LEFT, _WIDTH, _NUMBER, _TOP, _LINE = 140, 260, 70, 84, 20
_STEP = _WIDTH + _NUMBER + 20
_SMALLEST = 0.1  # on a logarithmic axis


class Marks(NamedTuple):
    """A kernel: its kind of mark, and a value for each line, if there is one."""

    name: str
    kind: int
    values: Sequence[float | None]


class Panel(NamedTuple):
    """One quantity; the values of the marks named by shown are written beside it, too."""

    title: str
    marks: Sequence[Marks]
    shown: str
    log: bool = False


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that hold zero and the range, but for a tenth of a step below it."""
    low, high = min(low, 0.0), max(high, 0.0)
    rough = (high - low or 1) / 5
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(m * scale for m in (1, 2, 5, 10) if m * scale >= rough * 0.999)
    first, last = math.floor(low / step + 0.1), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


def decades(high: float) -> list[float]:
    last = max(0, math.ceil(math.log10(max(high, _SMALLEST)) - 1e-9))
    return [10.0 ** n for n in range(round(math.log10(_SMALLEST)), last + 1)]


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x: float, bottom: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom:.1f}"/>'


def _mark(kind: int, x: float, y: float) -> str:
    if kind == 0:
        return f'<circle class="mark0" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    corners = {1: ((-4, -4), (4, -4), (4, 4), (-4, 4)), 2: ((0, -6), (6, 0), (0, 6), (-6, 0)),
               3: ((0, -5), (5, 4), (-5, 4))}[kind]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="mark{kind}" points="{points}"/>'


def number(value: float) -> str:
    # Adding 0 makes a 0 of a -0
    return f"{round(value, 2) + 0:.2f}"


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _panel(panel: Panel, left: float, bottom: float) -> list[str]:
    every = [value for marks in panel.marks for value in marks.values if value is not None] or [0]
    axis = decades(max(every)) if panel.log else ticks(min(every), max(every))

    def place(value: float) -> float:
        low, high, at = axis[0], axis[-1], value
        if panel.log:
            low, high, at = (math.log10(max(x, _SMALLEST)) for x in (low, high, value))
        return left + _WIDTH * (at - low) / (high - low)

    lines = [_text(left, 20, panel.title, kind="title")]
    for mark in axis:
        lines += [_line(place(mark), bottom, "grid"),
                  _text(place(mark), bottom + 15, _short(mark), "middle")]
    lines.append(_line(place(0), bottom, "zero"))
    for index, marks in enumerate(panel.marks):
        x, y = left + index % 2 * 170, 36 + index // 2 * 18
        lines += [_mark(marks.kind, x + 6, y), _text(x + 16, y + 4, marks.name)]
    # On top of all others what is of most interest
    for marks in sorted(panel.marks, key=lambda marks: marks.name == panel.shown):
        for row, value in enumerate(marks.values):
            y = _TOP + (row + 0.5) * _LINE
            if value is not None:
                lines.append(_mark(marks.kind, place(value), y))
            if value is not None and marks.name == panel.shown:
                lines.append(_text(left + _WIDTH + _NUMBER, y + 4, number(value), "end"))
    return [*lines, _text(left + _WIDTH + _NUMBER, _TOP - 6, panel.shown, "end")]


def svg(names: Sequence[str], panels: Sequence[Panel]) -> str:
    """The plot: the panels side by side, a line for each name."""
    bottom = _TOP + _LINE * len(names)
    width, height = _LEFT + len(panels) * _STEP, bottom + 25
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
    ]
    for row, name in enumerate(names):
        y = _TOP + row * _LINE
        if row % 2:
            lines.append(f'<rect class="odd" y="{y}" width="{width}" height="{_LINE}"/>')
        lines.append(_text(_LEFT - 12, y + _LINE / 2 + 4, name, "end"))
    for index, panel in enumerate(panels):
        lines += _panel(panel, _LEFT + index * _STEP, bottom)
    return "\n".join([*lines, "</svg>"]) + "\n"
