# SPDX-License-Identifier: GPL-2.0
"""'kpkeys bench': count what the protection costs, workload by workload.

An emulator has no time worth measuring, but it can count: bench/counter.c counts the
instructions between two markers, and among them those that synchronise, while
bench/workloads.c is the guest's init.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from . import boot, cache, demo, guest, inputs, kernel, plot, proc, qemu, series
from .term import Problem, Progress, say

BENCH = inputs.REPO / "bench"
OUTPUT = inputs.REPO / "build" / "bench"
MODULE = "test_vmalloc.ko"
COUNTERS = ("insns", "por", "por_entry", "isb", "dsb", "tlbi")
INSNS, POR, ISB = (COUNTERS.index(name) for name in ("insns", "por", "isb"))
LIMIT = 900  # s
# System.map has the addresses only of a kernel that is where it was linked to be
MODE = boot.with_cpus(boot.EAGER, 1)._replace(args=("nokaslr",))
# Nothing that the guest sees depends on the host's time: each run counts the same
_STEADY = ["-icount", "shift=0,sleep=off", "-rtc", "base=2000-01-01,clock=vm", "-seed", "1"]
_BASE, _SERIES = "bench", "bench protected"  # variants of the kernel


class Column(NamedTuple):
    """A kernel to count on, and its command line."""

    name: str
    kernel: kernel.Kernel
    append: str = ""


class Row(NamedTuple):
    """A section: what the guest says of it, and what was counted."""

    name: str
    operations: int
    tables: int  # page-table pages that come or go in it
    counts: tuple[float, ...]


class Cost(NamedTuple):
    """What a workload costs more than on the base kernel."""

    insns: float  # %
    isb: float  # added per operation
    por: float  # per operation
    table: float | None  # ISBs added per page-table page


def rows(console: str, counted: str) -> list[Row]:
    """The sections of a boot; a Problem if the guest and the plugin do not agree on them."""
    errors = re.findall(r"kpkeys-bench: (error .*)", console)
    if errors:
        raise Problem(f"the guest reports: {errors[0]}")
    if not re.search(r"kpkeys-bench: done$", console, re.M):
        raise Problem("the guest did not come to its end")
    named = re.findall(r"kpkeys-bench: row (\S+) ([1-9]\d*) (\d+)$", console, re.M)
    sections = [tuple(map(float, line.split())) for line in counted.splitlines()]
    if len(named) != len(sections) or not named:
        raise Problem(f"{len(named)} rows, but {len(sections)} sections were counted")
    if any(len(section) != len(COUNTERS) for section in sections):
        raise Problem("the counts are of another plugin")
    return [Row(name, int(operations), int(tables), section)
            for (name, operations, tables), section in zip(named, sections)]


def workloads(found: list[Row]) -> dict[str, Row]:
    """A row a workload: the mean of its repeats, less what is to be subtracted ('-' and name)."""
    repeats: dict[str, list[Row]] = {}
    for row in found:
        repeats.setdefault(row.name, []).append(row)
    means = {name: same[0]._replace(counts=tuple(map(fmean, zip(*(row.counts for row in same)))))
             for name, same in repeats.items()}
    for name in [name for name in means if name.startswith("-")]:
        less, row = means.pop(name), means.get(name[1:])
        if row is None:
            raise Problem(f"there is no row {name[1:]}, only what to subtract from it")
        counts = tuple(a - b for a, b in zip(row.counts, less.counts))
        means[row.name] = row._replace(counts=counts)
    empty = [name for name, row in means.items() if row.counts[INSNS] <= 0]
    if empty:
        raise Problem(f"no instructions were counted in {', '.join(empty)}")
    return means


def costs(base: dict[str, Row], other: dict[str, Row]) -> dict[str, Cost]:
    """What each workload costs more; a Problem if these are not the same workloads."""
    odd = [name for name in {**base, **other}
           if name not in base or name not in other or base[name][:3] != other[name][:3]]
    if odd:
        raise Problem(f"not the same as on the base kernel: {', '.join(odd)}")

    def cost(old: Row, new: Row) -> Cost:
        isb = new.counts[ISB] - old.counts[ISB]
        return Cost(100 * (new.counts[INSNS] / old.counts[INSNS] - 1), isb / new.operations,
                    new.counts[POR] / new.operations, isb / new.tables if new.tables else None)

    return {name: cost(row, other[name]) for name, row in base.items()}


def _make(target: str, source: str, key: Iterable[str | Path], *args: str) -> Path:
    """What bench/Makefile builds."""

    def make(partial: Path) -> None:
        proc.run(["make", "-C", BENCH, f"O={partial}", *args, target], partial / "build.log",
                 f"building {target}")

    return cache.entry("bench", cache.digest([BENCH / "Makefile", BENCH / source, *key]),
                       make) / target


def _programs(known: inputs.Base) -> tuple[Path, Path]:
    """The guest's init and QEMU's plugin."""
    header = qemu.header(known)
    return (_make("workloads", "workloads.c", [kernel.compiler()], *kernel.make_args()),
            _make("counter.so", "counter.c", [header / "qemu-plugin.h"],
                  f"QEMU_INCLUDE={header}"))


def _columns(known: inputs.Base, linux: str | None) -> list[Column]:
    """The kernels, built."""

    def build(patches: list[Path], where: str | None, variant: str) -> kernel.Kernel:
        kind = kernel.Kind(("base.config",), lambda: patches, (f"lib/{MODULE}",))
        return kernel.build(known, where, variant, kind)

    ours, more = series.patches(), sorted((BENCH / "patches").glob("*.patch"))
    with_series = build(ours, linux, _SERIES)
    as_it_stands = with_series.source.commit is None
    if as_it_stands:
        say("The base kernel is the one that BASE names"
            + ("; bench/patches are left out" if more else ""))
    on, off = (f"{demo.SWITCH}={word}" for word in ("on", "off"))
    columns = [Column("base", build([], None if as_it_stands else linux, _BASE)),
               Column("off", with_series, off), Column("on", with_series, on)]
    if more and not as_it_stands:
        columns.append(Column("unbatched", build([*ours, *more], linux, _SERIES), on))
    return columns


def _entry_text(built: kernel.Kernel) -> str:
    """START-END of the exception entry code."""
    text = (built.directory / "System.map").read_text()
    found = [re.search(rf"^(\w+) \w __entry_text_{end}$", text, re.M) for end in ("start", "end")]
    if not all(found):
        raise Problem(f"{built.directory}/System.map has no __entry_text_start and _end")
    return "-".join(symbol.group(1) for symbol in found if symbol)


def _count(column: Column, emulator: qemu.Emulator, init: Path, plugin: Path,
           quick: bool) -> list[Row]:
    """Boot a kernel and count."""
    log = boot.LOGS / f"bench-{column.name}.log"
    counted = log.with_suffix(".counts")
    counted.unlink(missing_ok=True)
    initrd = guest.pack(column.kernel, {"/init": init,
                                        f"/{MODULE}": column.kernel.directory / MODULE})
    append = " ".join([column.append, *(["bench=quick"] if quick else [])]).strip()
    options = [f"{plugin}".replace(",", ",,"), f"out={counted}".replace(",", ",,"),
               f"entry={_entry_text(column.kernel)}"]
    result = boot.run([*boot.command(emulator.binary, MODE, column.kernel.image, initrd, append),
                       *_STEADY, "-plugin", ",".join(options)], log, LIMIT)
    wrong = boot.complaints(result.console)
    try:
        if result.timeout:
            raise Problem(f"no end after {result.seconds:.0f} s")
        if result.status or wrong:
            raise Problem(wrong[0] if wrong else f"QEMU ended with status {result.status}")
        found = rows(result.console, counted.read_text())
        protected = column.append.endswith("=on")
        if protected != any(row.counts[POR] for row in found):
            raise Problem(f"POR_EL1 is {'never ' if protected else ''}written to")
        return found
    except Problem as err:
        raise Problem(f"the kernel '{column.name}': {err}, see {log}:\n{proc.tail(log)}") from None


def _number(value: float | None) -> str:
    # Adding 0 makes a 0 of a -0
    return "" if value is None else f"{round(value, 2) + 0:.2f}"


def _cells(cost: Cost) -> list[str]:
    return [f"{round(cost.insns, 2) + 0:.2f}%", *map(_number, cost[1:])]


_HEADS = ("insns", "ISB", "POR", "ISB/table")
_LEGEND = """\
insns: instructions per operation, and in % more than on the kernel without the series (base);
ISB: added per operation; POR: writes of POR_EL1 per operation, those in the exception entry code
apart; ISB/table: added per page-table page that comes or goes."""


def _table(base: dict[str, Row], found: dict[str, dict[str, Cost]]) -> list[str]:
    """For the terminal."""
    lines = [f"{'':18} {'base':>10}" + "".join(f"  | {name:36}" for name in found).rstrip(),
             f"{'workload':18} {'insns':>10}"
             + f"  | {' '.join(f'{head:>9}' for head in _HEADS)[1:]}" * len(found)]
    for name, row in base.items():
        text = f"{name:18} {row.counts[INSNS] / row.operations:10.0f}"
        for column in found.values():
            text += f"  | {' '.join(f'{cell:>9}' for cell in _cells(column[name]))[1:]}"
        lines.append(text.rstrip())
    return lines


def _markdown(base: dict[str, Row], found: dict[str, dict[str, Cost]]) -> list[str]:
    heads = ["workload", "base: insns", *(f"{name}: {head}" for name in found for head in _HEADS)]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, row in base.items():
        cells = [cell for column in found.values() for cell in _cells(column[name])]
        lines.append([name, f"{row.counts[INSNS] / row.operations:.0f}", *cells])
    return [f"| {' | '.join(line)} |" for line in lines]


def _plot(names: list[str], found: dict[str, dict[str, Cost]]) -> str:
    def values(which: int) -> list[list[float]]:
        return [[column[name][which] or 0 for name in names] for column in found.values()]

    return plot.svg(names, list(found), [
        plot.Panel("Instructions more than on the base kernel, in %", values(0), unit="%"),
        plot.Panel("ISBs added per operation (logarithmic)", values(1), log=True)])


def run(known: inputs.Base, linux: str | None, binary: str | None, quick: bool,
        output: Path) -> int:
    columns = _columns(known, linux)
    emulator = qemu.find(known, binary)
    init, plugin = _programs(known)
    progress = Progress(f"Counting, {len(columns)} boots")
    calls = [lambda column=column: _count(column, emulator, init, plugin, quick)
             for column in columns]
    counted = dict(proc.parallel(2, calls))
    progress.done()

    means = {column.name: workloads(counted[index]) for index, column in enumerate(columns)}
    base = means.pop("base")
    found = {name: costs(base, other) for name, other in means.items()}
    built = columns[1].kernel
    patches = f" and {built.patches} patches" if built.patches else ""
    about = [f"Kernel    {built.source.name}{patches}, {built.compiler}",
             f"Emulator  {emulator.name}"]
    say()
    for line in (*about, "", *_table(base, found), "", _LEGEND, ""):
        say(line)

    output.mkdir(parents=True, exist_ok=True)
    with (output / "results.csv").open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["kernel", "row", "operations", "tables", *COUNTERS])
        for index, column in enumerate(columns):
            table.writerows([column.name, *row[:3], *map(int, row.counts)]
                            for row in counted[index])
    text = [*_markdown(base, found), "", _LEGEND, "", *(f"    {line}" for line in about)]
    (output / "results.md").write_text("\n".join(text) + "\n")
    (output / "results.svg").write_text(_plot(list(base), found))
    say(f"Written: {output}/results.csv, .md and .svg")
    return 0
