# SPDX-License-Identifier: GPL-2.0
"""Figures in the documents: written by a command, from what was measured.

'run' and 'test' note in build/results what they showed and how long they took, of which
patches. 'kpkeys docs --figures' keeps that in Documentation/results, and writes the figures
that the documents have of it, of bench/results and of the series. 'check' says what is not
as that command would write it, and which results are of other patches.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from . import cache, counts, inputs, matrix, qemu, raised, report, series, suite
from .results import DIRECTORY
from .term import Problem
from .testcase import Test

RESULTS = inputs.REPO / "Documentation" / "results"
TIMES = "times.json"
# What shows the blocks of README.md that have a name
REPEAT = {"run": "scripts/kpkeys run", "attack": "scripts/kpkeys run --attack",
          "test": "scripts/kpkeys test"}


# What nobody compiles: results stay those of the patches when it changes
_WORDS = re.compile(r"a/(Documentation/|MAINTAINERS )")


def _built_of(patch: Path) -> str:
    """What a patch changes of what is built, without its message."""
    files = re.split(r"^diff --git ", patch.read_text(errors="surrogateescape"), flags=re.M)[1:]
    return "".join(file for file in files if not _WORDS.match(file))


def _about() -> str:
    """Which patches, of the kernel at the top and of QEMU, and which guest results are of."""
    files = series.patches(inputs.REPO / "series")
    diffs = [_built_of(path) for path in (*files, *series.patches(qemu.PATCHES / "series"))]
    digest = cache.digest([*(text.encode(errors="surrogateescape") for text in diffs if text),
                           inputs.REPO / "guest"])
    return f"{len(files)} patches, {digest}"


class Start(NamedTuple):
    """When a command started, and what had been built by then, in part as well."""

    time: float
    built: frozenset[Path]


def _built() -> frozenset[Path]:
    return frozenset(path for kind in ("qemu", "kernel")
                     for path in (cache.root() / kind).glob("*"))


def start() -> Start:
    return Start(time.monotonic(), _built())


def is_own(args: argparse.Namespace) -> bool:
    """Whether a command is about the series at the top as it stands, with our emulator."""
    return not (args.linux or args.qemu or inputs.option())


def note(name: str, begin: Start, screen: Sequence[str]) -> None:
    """Keep what a command showed, and how long it took, from nothing or with everything built."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    # Not what was said while it fetched and built, and no place of this machine
    text = "\n".join(screen)
    for place, name_of_it in ((inputs.REPO, "."), (cache.root(), "~/.cache/kpkeys"),
                              (Path.home(), "~")):
        text = re.sub(rf"{re.escape(str(place))}(?=[/\s,]|$)", name_of_it, text)
    found = re.search(r"^(Kernel  |ok  )", text, re.M)
    cache.write(DIRECTORY / f"{name}.txt",
                f"# {_about()}\n{text[found.start() if found else 0:]}\n")
    if _built() == begin.built:
        state = "warm"
    elif len(begin.built) <= (2 if name == "test" else 0):
        # 'test' finds what 'run' has built, an emulator and a kernel
        state = "cold"
    else:
        return
    times = _times(DIRECTORY)
    times[f"{name}, {state}"] = [
        round(time.monotonic() - begin.time), len(os.sched_getaffinity(0)), _about()]
    cache.write(DIRECTORY / TIMES, json.dumps(times, indent=1, sort_keys=True) + "\n")


def _times(where: Path) -> dict[str, list]:
    try:
        return json.loads((where / TIMES).read_text())
    except FileNotFoundError:
        return {}


def _lines(name: str) -> list[str]:
    try:
        return (RESULTS / f"{name}.txt").read_text().splitlines()
    except FileNotFoundError:
        raise Problem(f"Documentation/results has no {name}.txt: run {REPEAT[name]}, then"
                      " scripts/kpkeys docs --figures") from None


def _shape(line: str) -> str:
    """A line without its figures. The name of a test is none."""
    name = re.match(r"\s*ok +\S.*? (?=\([\d.]+ s\))|", line).group()  # type: ignore[union-attr]
    rest = re.sub(r"0x[\da-f]+|\b[\da-f]*\d[\da-f]*\b|\d+", "#", line[len(name):])
    return " ".join(f"{name}{rest}".split())


def _excerpt(text: str, name: str, where: str) -> str:
    """The block after the comment with a name, with the figures that its lines have now."""
    mark = f"<!-- {name} -->\n\n"
    if mark not in text:
        raise Problem(f"{where} has no block '{name}'")
    begin = text.index(mark) + len(mark)
    end = begin + len(re.match(r"(?:    .*\n|\n(?=    ))*", text[begin:]).group())  # type: ignore
    new, lines = [], _lines(name)[1:]
    shown = iter(lines)
    for line in text[begin:end].splitlines():
        if not line.strip() or line.strip() in ("...", "| ...", "N passed, N failed"):
            new.append(line)
            continue
        # Tests run beside each other, and end in any order
        for found in lines if name == "test" else shown:
            if _shape(found) == _shape(line):
                new.append(f"    {found}".rstrip())
                break
        else:
            raise Problem(f"{where}: {name} has no line any more such as: {line.strip()}")
    return text[:begin] + "\n".join(new) + "\n" + text[end:]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _time(what: str) -> str:
    times = _times(RESULTS)
    if what not in times:
        command = what.split(",")[0]
        raise Problem(f"Documentation/results has no time of: {what}; run scripts/kpkeys {command}"
                      f"{' with an empty cache' if 'cold' in what else ''}")
    return _duration(times[what][0])


def _circumstance(which: int) -> str:
    """Of the times from nothing: on how many CPUs (1), with how many patches (2)."""
    found = set()
    for what in ("run, cold", "test, cold"):
        _time(what)
        found.add(str(_times(RESULTS)[what][which]).split()[0])
    if len(found) > 1:
        raise Problem("Documentation/results has times from nothing that are of different patches or"
                      " machines; run scripts/kpkeys run and test with an empty cache")
    return found.pop()


def _measured() -> Path:
    return inputs.REPO / "bench/results" / report.CSV


def _tables() -> dict[str, report.Table]:
    """What was counted, by the titles of tables."""
    return {table.title: table for table in report.tables(counts.read(_measured()))}


def _column(title: str, head: str) -> dict[str, float]:
    table = _tables()[title]
    return {row[0]: float(row[table.heads.index(head)].rstrip("%")) for row in table.rows
            if row[table.heads.index(head)] != "-"}


def _worst_off() -> tuple[str, float]:
    """The workload with most instructions added with the protection off at boot."""
    off = _column("Instructions", counts.OFF)
    worst = max(off, key=lambda name: off[name])
    return worst, off[worst]


def _at_most_off() -> str:
    return f"{math.ceil(10 * _worst_off()[1]) / 10:.1f}"


def _missed(word: str) -> str:
    """The factor by which the estimates miss what was posted."""
    note = " ".join(_tables()[report.ESTIMATES].note.split())
    return re.search(rf"([\d.]+) {word}", note)[1]  # type: ignore[index]


def _short_table() -> str:
    """The table of performance.rst: names and words are its own."""
    insns, isbs = _column("Instructions", counts.ON), _column("ISBs", counts.ON)
    off, times = _column("Instructions", counts.OFF), _column(report.ESTIMATES, "on: estimate")
    lines = []
    for line in re.findall(_SHORT_LINE, (inputs.REPO / _PERFORMANCE).read_text(), re.M):
        name = line.split("``")[1]
        # Switched off, nothing but instructions is added
        against_off = 100 * ((100 + times[name]) / (100 + off[name]) - 1)
        cells = (f"{insns[name]:.1f} %", f"{isbs[name]:.4g}", f"{times[name]:.1f} %")
        lines.append(line[:60] + "".join(f"{cell:<{width}}" for cell, width
                                         in zip(cells, (14, 12, 12))) + f"{against_off:.1f} %\n")
    return "".join(lines)


def _cost_table() -> str:
    """The table of the cover letter."""
    found = _tables()
    columns = [("Instructions", counts.OFF), ("Instructions", counts.UNBATCHED),
               ("ISBs", counts.UNBATCHED), ("Instructions", counts.ON), ("ISBs", counts.ON),
               ("ISBs", counts.WITHOUT_ISB)]

    def cell(title: str, kernel: str, row: str) -> str:
        table = found[title]
        line = next(line for line in table.rows if line[0] == row)
        value = line[table.heads.index(kernel)]
        number = float(value.rstrip("%"))
        if title == "Instructions":
            return f"{number:+.1f}%"
        return f"{number:.0f}" if number >= 100 else f"{number:.1f}"

    rows = ("fork-small", "fork-huge", "munmap-small", "munmap-huge", "processes", "fix_size-1",
            "fix_size-256", "vm_map_ram-1")
    widths = (8, 9, 9, 9, 8, 8)  # as the heads in the letter
    return "".join(f"{row:<14}" + "".join(
        f"{cell(*column, row):>{width}}" for column, width in zip(columns, widths)) + "\n"
        for row in rows)


def _counted() -> str:
    found = re.search(r"and (\d+) patches", _measured().read_text())
    return found[1] if found else "no"


_PERFORMANCE = "Documentation/performance.rst"
_SHORT_LINE = r"^``[\w-]+`` .* %$"

# Document, what stands there (the group is what is written), and what it must be
_WRITTEN: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", r"In a git tree of Linux (\S+) ", lambda: inputs.release(_top(), "linux")),
    ("README.md", r"at least one of its (\d+) rows", lambda: str(len(matrix.rows()))),
    ("README.md", r"it builds (\d+) kernels more", lambda: str(len(_kernels("matrix") - _quick()))),
    ("README.md", r"These take (\d+) more kernels",
     lambda: str(len(_kernels("") - _kernels("matrix") - _quick()))),
    ("Documentation/testing.rst", r"It takes (\d+) kernels",
     lambda: str(len(_kernels("matrix") | _quick()))),
    ("Documentation/testing.rst", r"kernels, (\d+) of\s+which ``test`` builds in any case",
     lambda: str(len(_quick()))),
    ("README.md", r"Measured on (\d+) cores", lambda: _circumstance(1)),
    ("README.md", r"when there were (\d+) patches", lambda: _circumstance(2)),
    ("README.md", r"`run` took\s+([\d.]+ \w+)", lambda: _time("run, cold")),
    ("README.md", r"`test` after it ([\d.]+ \w+)", lambda: _time("test, cold")),
    ("README.md", r"everything built: `run` ([\d.]+ \w+)", lambda: _time("run, warm")),
    ("README.md", r"everything built: `run` [\d.]+ \w+,\s`test` ([\d.]+ \w+)",
     lambda: _time("test, warm")),
    ("patches/0000-cover-letter.txt", r"^((?:[a-z_]+[\w-]* +(?:[-+][\d.]+% .*)\n?)+)",
     _cost_table),
    ("patches/0000-cover-letter.txt", r"Counted with\s+(\d+)\s+patches", _counted),
    ("patches/0000-cover-letter.txt", r"^Base: Linux (\S+),",
     lambda: inputs.release(_top(), "linux")),
    (_PERFORMANCE, rf"((?:{_SHORT_LINE}\n)+)", _short_table),
    (_PERFORMANCE, r"by a factor of ([\d.]+) in the mean", lambda: _missed("in the mean")),
    (_PERFORMANCE, r"in the mean and of ([\d.]+) at worst", lambda: _missed("at worst")),
    (_PERFORMANCE, r"off at boot, the worst is ``(\S+)``", lambda: _worst_off()[0]),
    (_PERFORMANCE, r"off at boot, the worst is ``\S+`` with ([\d.]+) %",
     lambda: f"{_worst_off()[1]:.2f}"),
    ("Documentation/carrying.rst", r"at most ([\d.]+) % more instructions", _at_most_off),
    ("Documentation/index.rst", r"at most ([\d.]+) % more instructions", _at_most_off),
    (_PERFORMANCE, r"Counted with\s+(\d+)\s+patches", _counted),
    ("Documentation/threat-model.rst", r"the level is raised:\n\n((?:\* .+\n(?:  .+\n)*)+)",
     raised.listing),
    ("README.md", r"\(patches/(\S+Describe-kernel-protection-keys\.patch)\)", lambda: _document()),
    ("Documentation/kernel.rst", r"``patches/(\S+Describe-kernel-protection-keys\.patch)``",
     lambda: _document()),
)


# A QEMU of another version is taken if BASE's is gone; the documents name that of BASE
_WRITTEN += tuple(("qemu/README.rst", pattern, lambda: _top()["qemu"]["version"]) for pattern in (
    r"the TCG emulation of QEMU (\S+)\. ", r"``qemu_([\d.]+)\+ds", r"^    cd qemu-(\S+)$"))


def _document() -> str:
    """The patch that has the kernel's document."""
    return next(path.name for path in series.patches(inputs.REPO / "series")
                if path.name.endswith("-Documentation-Describe-kernel-protection-keys.patch"))


def _top() -> inputs.Base:
    return inputs.base(inputs.REPO / "BASE")


def _tests(group: str) -> list[Test]:
    return [test for test in suite.tests() if test.name.startswith(group)]


def _kernels(group: str) -> set[str]:
    """The kernels that tests are run on."""
    return {test.variant for test in _tests(group)}


def _quick() -> set[str]:
    """Those that 'test' builds without --full."""
    return {test.variant for test in suite.tests() if test.quick}


def _documents() -> tuple[dict[Path, str], list[str]]:
    """What each document with figures must be, and why some figures are left as they are."""
    texts: dict[str, str] = {}
    missing: list[str] = []
    for name, pattern, value in _WRITTEN:
        text = texts.setdefault(name, (inputs.REPO / name).read_text())
        found = re.search(pattern, text, re.M)
        if not found:
            raise Problem(f"{name} has nothing that matches {pattern}: change it or figures.py")
        try:
            texts[name] = text[:found.start(1)] + value() + text[found.end(1):]
        except Problem as err:
            missing.append(str(err))
    for block in REPEAT:
        try:
            texts["README.md"] = _excerpt(texts["README.md"], block, "README.md")
        except Problem as err:
            missing.append(str(err))
    return {inputs.REPO / name: text for name, text in texts.items()}, list(dict.fromkeys(missing))


def update() -> None:
    """Take new results in, and write the documents; what has no results stays as it is."""
    times = {**_times(RESULTS), **_times(DIRECTORY)}
    new = [path for path in (DIRECTORY / f"{name}.txt" for name in REPEAT)
           if path.exists() and path.read_text().startswith(f"# {_about()}\n")]
    if times or new:
        RESULTS.mkdir(exist_ok=True)
        cache.write(RESULTS / TIMES, json.dumps(times, indent=1, sort_keys=True) + "\n")
    for path in new:
        cache.write(RESULTS / path.name, path.read_text())
    for path, text in _documents()[0].items():
        if path.read_text() != text:
            cache.write(path, text)


def changed() -> list[str]:
    """Documents that are not as update() would write them, of the results that there are."""
    return [f"{path.relative_to(inputs.REPO)} is not what 'kpkeys docs --figures' writes"
            for path, text in _documents()[0].items() if path.read_text() != text]


def stale() -> list[str]:
    """What is not as update() would write it, was not measured, or of other patches."""
    found = changed() + _documents()[1]
    about = _about()
    for name, command in REPEAT.items():
        path = RESULTS / f"{name}.txt"
        if path.exists() and path.read_text().splitlines()[0] != f"# {about}":
            found.append(f"Documentation/results/{name}.txt is of other patches; repeat: {command}")
    # Times from nothing may be older: the document says of how many patches they are
    for name, (_, _, of) in _times(RESULTS).items():
        if name.endswith(", warm") and of != about:
            found.append(f"the time of '{name}' is of other patches; repeat:"
                         f" {REPEAT[name.split(',')[0]]}")
    if _counted() != str(len(series.patches(inputs.REPO / "series"))):
        found.append(f"bench/results are of {_counted()} patches; repeat: scripts/kpkeys bench"
                     " --output bench/results")
    return found
