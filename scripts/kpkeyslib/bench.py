# SPDX-License-Identifier: GPL-2.0
"""'kpkeys bench': count what the protection costs, workload by workload.

An emulator has no time worth measuring, but it can count: bench/counter.c counts the
instructions between two markers, and among them those that synchronise, while
bench/workloads.c is the guest's init.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from . import boot, cache, counts, demo, guest, inputs, kernel, proc, qemu, report, series
from .term import Problem, Progress, say

BENCH = inputs.REPO / "bench"
OUTPUT = inputs.REPO / "build" / "bench"
MODULE = "test_vmalloc.ko"
LIMIT = 900  # s
# The patch of the series from which on it switches the level once for many entries
BATCHING = "Switch-the-kpkeys-level-once-per-lazy"
NO_ISB = "ARM64_KPKEYS_RESTORE_WITHOUT_ISB"
# System.map has the addresses only of a kernel that is where it was linked to be, and processes
# must not have page tables more or less by chance. Each system call would clear the registers of
# SVE if the C library has used them since the last switch, which it does now and then.
_ARGS = ("nokaslr", "norandmaps", "arm64.nosve")
# Machines whose linear map is of pages, and of blocks
PAGES, BLOCKS = (boot.with_cpus(mode, 1)._replace(args=_ARGS)
                 for mode in (boot.EAGER, boot.EAGER_BLOCKS))
# Boots of a kernel. How deep the kernel looks in the tree of free parts of the vmalloc area depends
# on its shape, which any difference at boot changes, and makes up for a percent: have three of them
SLEEPERS = (1, 3, 6)
# Nothing that the guest sees depends on the host's time: each run counts the same
_STEADY = ["-icount", "shift=0,sleep=off", "-rtc", "base=2000-01-01,clock=vm", "-seed", "1"]
# Variants of the kernel
_BASE, _SERIES, _NO_ISB = "bench", "bench protected", "bench protected noisb"


class Column(NamedTuple):
    """A kernel to count on, and its command line."""

    name: str
    kernel: kernel.Kernel
    append: str = ""

    @property
    def log(self) -> Path:
        return boot.LOGS / f"bench-{re.sub(r'[^a-z]+', '-', self.name.lower())}.log"


def _make(target: str, source: str, key: Iterable[str | Path], *args: str) -> Path:
    """What bench/Makefile builds."""

    def make(partial: Path) -> None:
        proc.run(["make", "-C", BENCH, f"O={partial}", *args, target], partial / "build.log",
                 f"building {target}")

    return cache.entry("bench", cache.digest([BENCH / "Makefile", BENCH / source, *key]),
                       make) / target


def plugin(known: inputs.Base, name: str) -> Path:
    """A plugin for QEMU."""
    header = qemu.header(known)
    return _make(f"{name}.so", f"{name}.c", [header / "qemu-plugin.h"], f"QEMU_INCLUDE={header}")


def _programs(known: inputs.Base) -> tuple[Path, Path]:
    """The guest's init and QEMU's plugin."""
    return (_make("workloads", "workloads.c", [kernel.compiler()], *kernel.make_args()),
            plugin(known, "counter"))


def patches() -> list[Path]:
    """The patches that all kernels of the benchmark have."""
    where = BENCH if inputs.home() == inputs.REPO else inputs.home() / "bench"
    return sorted((where / "patches").glob("*.patch"))


def _without_batching(ours: list[Path]) -> list[Path] | None:
    """The patches of the series before batching; None if there is none."""
    for index, path in enumerate(ours):
        if BATCHING in path.name:
            return ours[:index]
    return None


def _knows(option: str, tree: Path | None, ours: list[Path]) -> bool:
    """Whether a tree, or the base with the patches, has an option."""
    if tree:
        files = [*tree.glob("arch/arm64/Kconfig*"), *tree.glob("mm/Kconfig*"),
                 *tree.glob("security/Kconfig*")]
        return any(re.search(rf"^config {option}$", path.read_text(), re.M) for path in files)
    return any(re.search(rf"^\+config {option}$", path.read_text(errors="replace"), re.M)
               for path in ours)


def _columns(known: inputs.Base, linux: str | None) -> list[Column]:
    """The kernels, built."""
    ours = series.patches()

    def build(files: list[Path], where: str | None, variant: str) -> kernel.Kernel:
        kind = kernel.Kind(("base.config",), lambda: [*files, *patches()], (f"lib/{MODULE}",))
        return kernel.build(known, where, variant, kind)

    # The series first: if it does not build, that is what to know
    with_series = build(ours, linux, _SERIES)
    tree = with_series.source.tree if with_series.source.commit is None else None
    others = None if tree else linux
    if tree:
        say("The kernels without the series and without its batching are built from what BASE and"
            " patches/ have")
        if "seed" not in (tree / "lib/test_vmalloc.c").read_text():
            say(f"random_size cannot be compared: {tree} lacks {BENCH}/patches")
    on, off = (f"{demo.SWITCH}={word}" for word in ("on", "off"))
    columns = [Column(counts.BASE, build([], others, _BASE)), Column(counts.OFF, with_series, off)]
    unbatched = _without_batching(ours)
    if unbatched is None:
        say(f"No column '{counts.UNBATCHED}': no patch of the series is named {BATCHING}")
    else:
        columns.append(Column(counts.UNBATCHED, build(unbatched, others, _SERIES), on))
    columns.append(Column(counts.ON, with_series, on))
    if _knows(NO_ISB, tree, ours):
        columns.append(Column(counts.WITHOUT_ISB, build(ours, linux, _NO_ISB), on))
    else:
        say(f"No column '{counts.WITHOUT_ISB}': the kernel has no option {NO_ISB}")
    return columns


def _entry_text(built: kernel.Kernel) -> str:
    """START-END of the exception entry code."""
    text = (built.directory / "System.map").read_text()
    found = [re.search(rf"^(\w+) \w __entry_text_{end}$", text, re.M) for end in ("start", "end")]
    if not all(found):
        raise Problem(f"{built.directory}/System.map has no __entry_text_start and _end")
    return "-".join(symbol.group(1) for symbol in found if symbol)


def _count(column: Column, sleepers: int, mode: boot.Mode, emulator: qemu.Emulator, init: Path,
           plugin: Path, quick: bool) -> tuple[list[counts.Row], counts.Memory]:
    """Boot a kernel and count, with a number of processes that do nothing."""
    log = column.log.with_suffix(f".{sleepers}.log")
    counted = log.with_suffix(".counts")
    counted.unlink(missing_ok=True)
    initrd = guest.pack(column.kernel, {"/init": init,
                                        f"/{MODULE}": column.kernel.directory / MODULE})
    append = " ".join([f"sleepers={sleepers}", *(["bench=quick"] if quick else []),
                       column.append]).strip()
    options = [f"{plugin}".replace(",", ",,"), f"out={counted}".replace(",", ",,"),
               f"entry={_entry_text(column.kernel)}"]
    result = boot.run([*boot.command(emulator.binary, mode, column.kernel.image, initrd, append),
                       *_STEADY, "-plugin", ",".join(options)], log, LIMIT)
    wrong = boot.complaints(result.console)
    try:
        if result.timeout:
            raise Problem(f"no end after {result.seconds:.0f} s")
        if result.status or wrong:
            raise Problem(wrong[0] if wrong else f"QEMU ended with status {result.status}")
        found = counts.rows(result.console, counted.read_text())
        protected = column.append.endswith("=on")
        if protected and not any(row.counts[counts.POR] for row in found):
            raise Problem("POR_EL1 is never written to")
        say(f"  {column.name}, {sleepers} sleepers: {len(found)} sections"
            f" in {result.seconds:.0f} s")
        return found, counts.memory_left(result.console)
    except Problem as err:
        raise Problem(f"the kernel '{column.name}': {err}, see {log}:\n{proc.tail(log)}") from None


def _measure(known: inputs.Base, linux: str | None, binary: str | None, mode: boot.Mode,
             quick: bool) -> counts.Results:
    columns = _columns(known, linux)
    emulator = qemu.find(known, binary)
    init, plugin = _programs(known)
    boots = [(column, sleepers) for column in columns for sleepers in SLEEPERS]
    progress = Progress(f"Counting, {len(boots)} boots")
    calls = [lambda column=column, sleepers=sleepers: _count(column, sleepers, mode, emulator,
                                                             init, plugin, quick)
             for column, sleepers in boots]
    counted = dict(proc.parallel(2, calls))
    progress.done()
    rows: dict[str, list[counts.Row]] = {column.name: [] for column in columns}
    memory: dict[str, list[counts.Memory]] = {column.name: [] for column in columns}
    for index, (column, _) in enumerate(boots):
        sections, left = counted[index]
        rows[column.name] += sections
        memory[column.name].append(left)
    built = next(column.kernel for column in columns if column.name == counts.ON)
    number = f" and {len(series.patches())} patches" if built.patches else ""
    about = (f"Kernel    {built.source.name}{number}, {built.compiler}",
             f"Emulator  {emulator.name}",
             f"Machine   {mode.name}")
    return counts.Results(about, rows, memory)


def run(known: inputs.Base, linux: str | None, binary: str | None, mode: boot.Mode, quick: bool,
        output: Path) -> bool:
    """Measure, show and write; whether all limits are kept."""
    # Its logs are at one place, too
    with cache.lock("bench", boot.LOGS):
        results = _measure(known, linux, binary, mode, quick)
    output.mkdir(parents=True, exist_ok=True)
    counts.write(output / report.CSV, results)
    return report.make(results, output)


def again(path: Path, output: Path | None) -> bool:
    """The same from what was measured before."""
    return report.make(counts.read(path), output or path.parent)
