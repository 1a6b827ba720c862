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
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from . import cache, counts, inputs, matrix, report, series
from .results import DIRECTORY
from .term import Problem

RESULTS = inputs.REPO / "Documentation" / "results"
TIMES = "times.json"
# What shows the blocks of README.md that have a name
REPEAT = {"run": "scripts/kpkeys run", "attack": "scripts/kpkeys run --attack",
          "test": "scripts/kpkeys test"}


def _about() -> str:
    """Which patches results are of: those of the kernel at the top, without messages."""
    diffs = [re.sub(r"\A.*?^---$", "", path.read_text(errors="surrogateescape"), flags=re.S | re.M)
             for path in series.patches(inputs.REPO / "series")]
    digest = cache.digest(text.encode(errors="surrogateescape") for text in diffs)
    return f"{len(diffs)} patches, {digest}"


class Start(NamedTuple):
    """When a command started, and what had been built by then."""

    time: float
    built: frozenset[Path]


def _built() -> frozenset[Path]:
    return frozenset(path for kind in ("qemu", "kernel") for path in (cache.root() / kind).glob("*")
                     if path.suffix != ".partial")


def start() -> Start:
    return Start(time.monotonic(), _built())


def is_own(args: argparse.Namespace) -> bool:
    """Whether a command is about the series at the top as it stands, with our emulator."""
    return not (args.linux or args.qemu or inputs.option())


def note(name: str, begin: Start, screen: Sequence[str]) -> None:
    """Keep what a command showed, and how long it took, from nothing or with everything built."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    # Not what was said while it fetched and built
    first = re.compile(r"^(Kernel  |ok  )", re.M)
    text = "\n".join(screen).replace(str(Path.home()), "~")
    found = first.search(text)
    cache.write(DIRECTORY / f"{name}.txt",
                f"# {_about()}\n{text[found.start() if found else 0:]}\n")
    new = _built() - begin.built
    # 'test' finds the emulator and a kernel that 'run' has built
    if new and name != "test" and not any(path.parent.name == "qemu" for path in new):
        return
    times = _times(DIRECTORY)
    times[f"{name}, {'cold' if new else 'warm'}"] = [
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
    """A line without its figures."""
    return " ".join(re.sub(r"(0x)?\b[\da-f]*\d[\da-f]*\b|\d+(\.\d+)*", "#", line).split())


def _excerpt(text: str, name: str, where: str) -> str:
    """The block after the comment with a name, with the figures that its lines have now."""
    mark = f"<!-- {name} -->\n\n"
    if mark not in text:
        raise Problem(f"{where} has no block '{name}'")
    begin = text.index(mark) + len(mark)
    end = begin + len(re.match(r"(?:    .*\n|\n(?=    ))*", text[begin:]).group())  # type: ignore
    new, shown = [], iter(_lines(name)[1:])
    for line in text[begin:end].splitlines():
        if not line.strip() or line.strip() in ("...", "| ...", "N passed, N failed"):
            new.append(line)
            continue
        for found in shown:
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


def _of_how_many(what: str) -> str:
    _time(what)
    return _times(RESULTS)[what][2].split()[0]


def _measured() -> Path:
    return inputs.REPO / "bench/results" / report.CSV


def _cost_table() -> str:
    """The table of the cover letter."""
    found = {table.title: table for table in report.tables(counts.read(_measured()))}
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
    return "\n".join(f"{row:<14}" + "".join(f"{cell(*column, row):>9}" for column in columns)
                     for row in rows)


def _counted() -> str:
    found = re.search(r"and (\d+) patches", _measured().read_text())
    return found[1] if found else "no"


# Document, what stands there (the group is what is written), and what it must be
_WRITTEN: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", r"In a git tree of Linux (\S+) ", lambda: inputs.release(_top(), "linux")),
    ("README.md", r"at least one of its (\d+) rows", lambda: str(len(matrix.ROWS))),
    ("README.md", r"it builds (\d+) kernels more", lambda: str(_kernels_of_matrix())),
    ("README.md", r"when there were (\d+) patches", lambda: _of_how_many("run, cold")),
    ("README.md", r"`run` took\s+([\d.]+ \w+)", lambda: _time("run, cold")),
    ("README.md", r"`test` after it ([\d.]+ \w+)", lambda: _time("test, cold")),
    ("README.md", r"everything built: `run` ([\d.]+ \w+)", lambda: _time("run, warm")),
    ("README.md", r"everything built: `run` [\d.]+ \w+,\s`test` ([\d.]+ \w+)",
     lambda: _time("test, warm")),
    ("patches/0000-cover-letter.txt", r"^((?:[a-z_]+[\w-]* +(?:[-+][\d.]+% .*)\n?)+)",
     lambda: _cost_table() + "\n"),
    ("patches/0000-cover-letter.txt", r"Counted with (\d+) patches", _counted),
    ("patches/0000-cover-letter.txt", r"^Base: Linux (\S+),",
     lambda: inputs.release(_top(), "linux")),
    ("Documentation/performance.rst", r"Counted with (\d+) patches", _counted),
    ("README.md", r"\(patches/(\S+Describe-kernel-protection-keys\.patch)\)", lambda: _document()),
    ("Documentation/kernel.rst", r"``patches/(\S+Describe-kernel-protection-keys\.patch)``",
     lambda: _document()),
)


def _document() -> str:
    """The patch that has the kernel's document."""
    return next(path.name for path in series.patches(inputs.REPO / "series")
                if path.name.endswith("-Documentation-Describe-kernel-protection-keys.patch"))


def _top() -> inputs.Base:
    return inputs.base(inputs.REPO / "BASE")


def _kernels_of_matrix() -> int:
    """Kernels that the matrix has built beside the one that 'test' builds anyway."""
    return len({matrix.variant(row) for row in matrix.rows()} - {""})


def _documents() -> Iterator[tuple[Path, str]]:
    """Each document with figures, and what it must be."""
    texts: dict[str, str] = {}
    for name, pattern, value in _WRITTEN:
        text = texts.get(name) or (inputs.REPO / name).read_text()
        found = re.search(pattern, text, re.M)
        if not found:
            raise Problem(f"{name} has nothing that matches {pattern}: change it or figures.py")
        texts[name] = text[:found.start(1)] + value() + text[found.end(1):]
    for block in REPEAT:
        texts["README.md"] = _excerpt(texts["README.md"], block, "README.md")
    for name, text in texts.items():
        yield inputs.REPO / name, text


def update() -> None:
    """Take new results in, and write the documents."""
    RESULTS.mkdir(exist_ok=True)
    times = _times(RESULTS)
    times.update(_times(DIRECTORY))
    cache.write(RESULTS / TIMES, json.dumps(times, indent=1, sort_keys=True) + "\n")
    for name in REPEAT:
        new = DIRECTORY / f"{name}.txt"
        if new.exists() and new.read_text().startswith(f"# {_about()}\n"):
            cache.write(RESULTS / new.name, new.read_text())
    for path, text in _documents():
        if path.read_text() != text:
            cache.write(path, text)


def stale() -> list[str]:
    """What is not as update() would write it, or measured of other patches."""
    try:
        found = [f"{path.relative_to(inputs.REPO)} is not what 'kpkeys docs --figures' writes"
                 for path, text in _documents() if path.read_text() != text]
        for name, command in REPEAT.items():
            if _lines(name)[0] != f"# {_about()}":
                found.append(f"Documentation/results/{name}.txt is of other patches; repeat: {command}")
    except Problem as err:
        return [str(err)]
    if _counted() != str(len(series.patches(inputs.REPO / "series"))):
        found.append(f"bench/results are of {_counted()} patches; repeat: scripts/kpkeys bench"
                     " --output bench/results")
    return found
