# SPDX-License-Identifier: GPL-2.0
"""What 'kpkeys bench' counted: from the guest and the plugin to costs, and the limits on these."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from .term import Problem

COUNTERS = ("insns", "por", "por_entry", "isb", "dsb", "tlbi")
INSNS, POR, ISB = (COUNTERS.index(name) for name in ("insns", "por", "isb"))
_HEADS = ["kernel", "row", "operations", "tables", *COUNTERS]
BASE, OFF, UNBATCHED, ON, WITHOUT_ISB = "base", "off", "unbatched", "on", "on, no ISB"
_MEMORY = "memory"  # in the place of a row's name
# What may be in use more than on the base kernel, in kB: the 95 and 99 that were counted with the
# linear map of pages and of blocks, 68 of them for a larger image, and 0.03 % of the guest's memory
MOST_MEMORY = 400


class Row(NamedTuple):
    """A section: what the guest says of it, and what was counted."""

    name: str
    operations: int
    tables: int  # page-table pages that come or go in it
    counts: tuple[float, ...]


class Memory(NamedTuple):
    """What a boot has of memory before anything has run, in kB."""

    free: int
    kept: int  # free as well, but for page tables only
    total: int


class Cost(NamedTuple):
    """What a workload costs more than on the base kernel."""

    insns: float  # %
    isb: float  # added per operation
    por: float  # per operation
    table: float | None  # ISBs added per page-table page


class MemoryCost(NamedTuple):
    """What a kernel has of memory in use, more than the base kernel, and what it keeps, in kB."""

    used: float
    kept: float


class Results(NamedTuple):
    """A run: what was measured, and the sections and the memory of each kernel's boots."""

    about: tuple[str, ...]
    rows: dict[str, list[Row]]
    memory: dict[str, list[Memory]]


Workloads = dict[str, Row]


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


def memory_left(console: str) -> Memory:
    """What a boot says of memory."""
    found = re.search(r"kpkeys-bench: memory (\d+) (\d+) (\d+)$", console, re.M)
    if not found:
        raise Problem("the guest does not say how much memory is free")
    return Memory(*map(int, found.groups()))


def workloads(found: Sequence[Row]) -> Workloads:
    """A row a workload: the mean of its repeats, less what is to be subtracted ('-' and name).

    The mean, not the median: what is due once in a few repeats, such as a refill of a pool, is a
    cost of theirs. The guest sees to it that nothing else is among them.
    """
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


def spread(found: Sequence[Row]) -> dict[str, float]:
    """How far the repeats of each section are apart, in instructions, in %."""
    repeats: dict[str, list[float]] = {}
    for row in found:
        repeats.setdefault(row.name, []).append(row.counts[INSNS])
    return {name: 100 * (max(same) / max(min(same), 1) - 1) for name, same in repeats.items()
            if not name.startswith("-")}


def costs(base: Workloads, other: Workloads) -> dict[str, Cost]:
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


def memory_costs(found: Mapping[str, Sequence[Memory]]) -> dict[str, MemoryCost]:
    """For each kernel but the base one; nothing if it was not measured."""
    left = {kernel: fmean(boot.free + boot.kept for boot in boots)
            for kernel, boots in found.items()}
    return {kernel: MemoryCost(left[BASE] - left[kernel], fmean(boot.kept for boot in boots))
            for kernel, boots in found.items() if kernel != BASE and BASE in found}


def write(path: Path, results: Results) -> None:
    with path.open("w", newline="") as stream:
        stream.writelines(f"# {line}\n" for line in results.about)
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(_HEADS)
        for kernel, found in results.rows.items():
            table.writerows([kernel, *row[:3], *map(int, row.counts)] for row in found)
        for kernel, boots in results.memory.items():
            table.writerows([kernel, _MEMORY, *boot] for boot in boots)


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The comments of a CSV file, and its lines."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise Problem(f"{path}: {err}") from None
    about = [line[1:].strip() for line in lines if line.startswith("#")]
    return about, list(csv.reader(line for line in lines if not line.startswith("#")))


def read(path: Path) -> Results:
    """What write() wrote."""
    about, lines = read_table(path)
    if not lines or lines[0] != _HEADS:
        raise Problem(f"{path} is not what 'kpkeys bench' writes: its columns are others")
    found: dict[str, list[Row]] = {}
    left: dict[str, list[Memory]] = {}
    for line in lines[1:]:
        try:
            kernel, name, *numbers = line
            if name == _MEMORY:
                free, kept, total = map(int, numbers)
                left.setdefault(kernel, []).append(Memory(free, kept, total))
                continue
            operations, tables, *counted = map(int, numbers)
            if operations <= 0 or len(counted) != len(COUNTERS):
                raise ValueError
        except ValueError:
            raise Problem(f"{path}: not a row: {','.join(line)}") from None
        row = Row(name, operations, tables, tuple(map(float, counted)))
        found.setdefault(kernel, []).append(row)
    if BASE not in found or len(found) < 2:
        raise Problem(f"{path} has no {BASE} kernel and another one to compare")
    return Results(tuple(about), found, left)


class Verdict(NamedTuple):
    """A limit of the project, and whether it is kept; None: there is nothing to see it from."""

    limit: str
    kept: bool | None
    found: str


def _worst(limit: str, most: float, values: Mapping[str, float], unit: str = "") -> Verdict:
    if not values:
        return Verdict(limit, None, "not measured")
    name = max(values, key=lambda name: values[name])
    # What is shown decides: counts of a few thousand loops are not better than that
    value = round(values[name], 2) + 0
    return Verdict(limit, value <= most, f"{value:.2f}{unit} ({name})")


def limits(means: Mapping[str, Workloads],
           memory: Mapping[str, MemoryCost]) -> list[Verdict]:
    """What the project promises, see Documentation/performance.rst."""
    found = {name: costs(means[BASE], other) for name, other in means.items() if name != BASE}

    def pick(kernel: str, names: str, value: Callable[[Cost], float | None]) -> dict[str, float]:
        chosen = {name: value(cost) for name, cost in found.get(kernel, {}).items()
                  if re.match(names, name)}
        return {name: x for name, x in chosen.items() if x is not None}

    def against_unbatched(kernel: str) -> dict[str, float]:
        names = r"(fix_size|vm_map_ram)-1$"
        old, new = (pick(name, names, lambda cost: cost.isb) for name in (UNBATCHED, kernel))
        return {name: new[name] / old[name] for name in old if name in new}

    main = r"(fork|munmap)-"
    # The ways into the kernel, and what a machine does all the time
    ways = r"(syscall|switch|irq-user|irq-kernel|fault-file|module)$"
    # What figures were posted of. The other rows are to see where the level is switched: some
    # of them are so short, a few dozen instructions for each entry, that one NOP is more than that.
    posted = r"(fork|munmap|fix_size|random_size|vm_map_ram|processes)"
    por = {name: row.counts[POR] for name, row in means.get(OFF, {}).items()}
    return [
        _worst("on: fork, munmap: 2 % more instructions", 2,
               pick(ON, main, lambda cost: cost.insns), " %"),
        _worst("on: syscall, switch, irq, fault-file, module: 2 % more instructions", 2,
               pick(ON, ways, lambda cost: cost.insns), " %"),
        _worst("on: fork, munmap: 4 ISBs added per page-table page", 4,
               pick(ON, main, lambda cost: cost.table)),
        _worst("on: fix_size-1, vm_map_ram-1: 3/4 of what unbatched adds in ISBs", 0.75,
               against_unbatched(ON)),
        _worst("on, no ISB: the same rows, half of these ISBs", 0.5,
               against_unbatched(WITHOUT_ISB)),
        _worst("off: fork, munmap, processes, vmalloc: 0.5 % more instructions", 0.5,
               pick(OFF, posted, lambda cost: cost.insns), " %"),
        _worst("off: no write of POR_EL1 but for exceptions", 0, por),
        _worst(f"on: {MOST_MEMORY} kB of memory more in use, without what is kept",
               MOST_MEMORY, {ON: memory[ON].used} if ON in memory else {}, " kB"),
    ]
