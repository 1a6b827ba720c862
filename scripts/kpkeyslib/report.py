# SPDX-License-Identifier: GPL-2.0
"""What 'kpkeys bench' shows: a table for each quantity, the limits, and a plot."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import costmodel, counts, plot
from .counts import BASE, INSNS, OFF, ON, UNBATCHED, WITHOUT_ISB, Cost, Results, Workloads
from .plot import number
from .term import say

CSV = "results.csv"
ESTIMATES = "Posted times and estimates"
_MARKS = (OFF, UNBATCHED, ON, WITHOUT_ISB)  # in the order of the plot's kinds of marks
_NEITHER = "-"


class Table(NamedTuple):
    """A table, the first column of which has names."""

    title: str
    note: str
    heads: list[str]
    rows: list[list[str]]


Costs = dict[str, dict[str, Cost]]


def _spread(results: Results) -> str:
    """Of all rows of all kernels, for the reader to know what is no difference."""
    found = sorted((value, name) for rows in results.rows.values()
                   for name, value in counts.spread(rows).items())
    worst, name = found[-1]
    return (f"Repeats of a row are up to {worst:.1f} % apart ({name}), half of all by less than"
            f" {found[len(found) // 2][0]:.2f} %.")


def _costs(base: Workloads, found: Costs, spread: str) -> list[Table]:
    def table(title: str, note: str, which: int, unit: str = "") -> Table:
        rows = []
        for name, row in base.items():
            values = [column[name][which] for column in found.values()]
            first = [f"{row.counts[INSNS] / row.operations:.0f}"] if which == 0 else []
            if None not in values:
                rows.append([name, *first, *(number(x or 0) + unit for x in values)])
        return Table(title, note, ["workload", *([BASE] if which == 0 else []), *found], rows)

    return [
        table("Instructions", "Per operation on the base kernel, and more than these in %."
              f" {spread}", 0, "%"),
        table("ISBs", "Per operation, more than on the base kernel.", 1),
        table("Writes of POR_EL1", "Per operation, without those of the exception entry code.", 2),
        table("ISBs and page tables", "ISBs more than on the base kernel, for each page-table page"
              " that comes or goes.", 3),
    ]


def _memory(results: Results) -> list[Table]:
    """What is in use before anything runs."""
    found = counts.memory_costs(results.memory)
    if not found:
        return []
    total = results.memory[BASE][0].total
    return [Table("Memory", f"In kB, of {total} on the base kernel: more in use than there, and"
                  " kept for page tables to come.", ["", *found],
                  [["in use", *(f"{cost.used:.0f}" for cost in found.values())],
                   ["kept", *(f"{cost.kept:.0f}" for cost in found.values())]])]


class Estimate(NamedTuple):
    """Time more than on the base kernel, in %: columns of values by workload."""

    note: str
    columns: dict[str, dict[str, float]]


_POSTED_WITHOUT, _POSTED = "unbatched: posted", "batched: posted"
_ESTIMATE = f"{ON}: estimate"


def estimate(means: dict[str, Workloads]) -> Estimate | None:
    """Posted figures and estimates; None if there is nothing to fit it to."""
    known = costmodel.posted()
    base = means[BASE]
    model = costmodel.fit(base, means.get(UNBATCHED, {}), known)
    if model is None:
        return None

    def ours(kernel: str) -> dict[str, float]:
        return {name: model.of(base[name], row) for name, row in means.get(kernel, {}).items()}

    lines = [line for line in known if line.row in base]
    shown = [line for line in known if not line.row or line in lines]
    theirs = {line.row: model.of_posted(base[line.row], line) for line in lines}
    columns = {
        _POSTED_WITHOUT: {line.row or line.benchmark: line.without for line in shown},
        f"{UNBATCHED}: estimate": ours(UNBATCHED),
        _POSTED: {line.row or line.benchmark: line.batched for line in shown},
        "batched: estimate": theirs,
        _ESTIMATE: ours(ON),
        f"{WITHOUT_ISB}: estimate": ours(WITHOUT_ISB),
    }
    factor, row = model.worst()
    note = (
        "More time than on the base kernel, in %. Posted: measured, see bench/posted.csv."
        " Estimates are calculated from counts, with an ISB and a write of POR_EL1 at"
        f" {model.isb + model.por:.0f} instructions together, half of it each, fitted to"
        " the posted figures without batching. These it misses by a factor of"
        f" {model.spread():.1f} in the mean and of {factor:.1f} at worst ({row}); those"
        f" with batching by {costmodel.points_off(theirs, lines):.1f} points in the mean, with"
        " the barriers that the posted batching has by its description, and by"
        f" {costmodel.points_off(ours(ON), lines):.1f} with ours, which is not the same code.")
    return Estimate(note, {name: column for name, column in columns.items() if column})


def _estimates(found: Estimate) -> Table:
    names = list(dict.fromkeys(name for column in found.columns.values() for name in column))
    return Table(ESTIMATES, found.note, ["workload", *found.columns],
                 [[name, *(number(column[name]) if name in column else _NEITHER
                           for column in found.columns.values())] for name in names])


def _limits(verdicts: Sequence[counts.Verdict]) -> Table:
    words = {True: "kept", False: "BROKEN", None: "unknown"}
    return Table("Limits", "What must not be exceeded, and the worst row.", ["limit", "", "worst"],
                 [[limit, words[kept], found] for limit, kept, found in verdicts])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)


def text(table: Table) -> list[str]:
    """For the terminal: heads of two parts take two lines."""
    heads = [head.partition(": ") for head in table.heads]
    lines = [[first if rest else "" for first, _, rest in heads],
             [rest or first for first, _, rest in heads], *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    numbers = table.heads[-1] != "worst"

    def line(cells: Sequence[str]) -> str:
        first, *rest = zip(cells, widths)
        parts = [f"{cell:>{width}}" if numbers else f"{cell:{width}}" for cell, width in rest]
        return "  ".join([f"{first[0]:{first[1]}}", *parts]).rstrip()

    return [*_wrapped(f"{table.title}: {table.note}"), "",
            *(f"  {line(cells)}" for cells in lines if any(cells)), ""]


def markdown(table: Table) -> list[str]:
    side = "---:" if table.heads[-1] != "worst" else "---"
    lines = [table.heads, ["---", *[side] * (len(table.heads) - 1)], *table.rows]
    return [f"### {table.title}", "", *_wrapped(table.note), "",
            *(f"| {' | '.join(cells)} |" for cells in lines), ""]


def rst(table: Table) -> list[str]:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [table.heads, *table.rows])
    return [*_wrapped(table.note), "", f".. csv-table:: {table.title}", "   :header-rows: 1",
            "", *(f"   {line}" for line in stream.getvalue().splitlines()), ""]


def _plot(base: Workloads, found: Costs, estimated: Estimate | None) -> str:
    names = list(base)

    def marks(which: int, kernels: Sequence[str]) -> list[plot.Marks]:
        return [plot.Marks(kernel, _MARKS.index(kernel),
                           [found[kernel][name][which] for name in names])
                for kernel in kernels if kernel in found]

    panels = [plot.Panel("Instructions: % more than on the base kernel", marks(0, _MARKS), ON),
              plot.Panel("ISBs added per operation, logarithmic", marks(1, _MARKS[1:]), ON, True)]
    if estimated:
        shown = (_POSTED, _POSTED_WITHOUT, _ESTIMATE)
        panels.append(plot.Panel("Time: % more, posted and ESTIMATED", [
            plot.Marks(column, kind, [estimated.columns[column].get(name) for name in names])
            for kind, column in enumerate(shown) if column in estimated.columns], shown[-1]))
    return plot.svg(names, panels)


def _means(results: Results) -> dict[str, Workloads]:
    return {kernel: counts.workloads(rows) for kernel, rows in results.rows.items()}


def _found(means: dict[str, Workloads]) -> Costs:
    return {kernel: counts.costs(means[BASE], other) for kernel, other in means.items()
            if kernel != BASE}


def tables(results: Results) -> list[Table]:
    """What was counted, a table for each quantity."""
    means = _means(results)
    estimated = estimate(means)
    return [*_costs(means[BASE], _found(means), _spread(results)),
            *_memory(results), *([_estimates(estimated)] if estimated else [])]


def make(results: Results, output: Path) -> bool:
    """Show, and write results.md, .rst and .svg; whether no limit is broken."""
    means = _means(results)
    base, found = means[BASE], _found(means)
    estimated = estimate(means)
    verdicts = counts.limits(means, counts.memory_costs(results.memory))
    shown = [*tables(results), _limits(verdicts)]
    say()
    for line in (*results.about, "", *(line for table in shown for line in text(table))):
        say(line)
    if not estimated:
        say(f"No estimate: it is fitted to what '{UNBATCHED}' counts")

    about = [f"    {line}" for line in results.about]
    output.mkdir(parents=True, exist_ok=True)
    for kind, lines in (
        ("md", ["![The costs](results.svg)", "", *about, "",
                *(line for table in shown for line in markdown(table))]),
        ("rst", ["::", "", *about, "", *(line for table in shown for line in rst(table))]),
    ):
        (output / f"results.{kind}").write_text("\n".join(lines).rstrip() + "\n")
    (output / "results.svg").write_text(_plot(base, found, estimated))
    say(f"Written: results.csv, .md, .rst and .svg in {output}")
    return all(verdict.kept is not False for verdict in verdicts)
