# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tests from tools/testing/selftests, cross-built, and what they say."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from . import cache, kernel, needs, proc, series
from .term import Progress

# What it takes of the kernel's source to build them
_SOURCES = ("Makefile", "Kbuild", "scripts", "include", "arch/arm64", "lib/test_hmm_uapi.h", "mm",
            "tools/arch", "tools/build", "tools/include", "tools/scripts",
            "tools/testing/selftests", "usr")
_DIRS = ("mm", "arm64/abi", "arm64/pauth", "arm64/signal", "arm64/tags")
# As mm/run_vmtests.sh calls them, but for gup_test -c, which dumps pages to the kernel log: that is
# what a kernel does that has found its memory corrupted. All others without arguments
_ARGS = {
    "mm/gup_test": ("-u -n 1", "-u -n -1", "-a -n 1", "-a -n -1"),
    "mm/uffd-stress": ("anon 20 16", "hugetlb 128 32", "hugetlb-private 128 32", "shmem 20 16",
                       "shmem-private 20 16"),
    "mm/khugepaged": ("", "-s 2", "all:shmem", "-s 4 all:shmem", "-c 4 mthp_khugepaged:anon"),
    "mm/transhuge-stress": ("-d 20",),
}
# Parts of other tests, and those that make memory unusable
_LEFT_OUT = ("mm/write_to_hugetlbfs", "mm/hugetlb-soft-offline", "mm/hugetlb-read-hwpoison",
             "arm64/pauth/exec_target")
LIMIT = 1800  # s, for uffd-unit-tests takes more than 600 beside others
_SKIP = 4


class Outcome(NamedTuple):
    """What a test says: the number of its points by what became of them, and how it ended."""

    passed: int
    failed: int
    skipped: int
    end: str

    def __str__(self) -> str:
        return f"{self.passed}/{self.failed}/{self.skipped}" + (f" {self.end}" if self.end else "")


def programs(source: kernel.Source, commit: str) -> Path:
    """The directory with the programs, as in tools/testing/selftests of the commit."""

    def make(partial: Path) -> None:
        progress = Progress("Building the kernel's selftests")
        tree, log = partial / "src", partial / "build.log"
        tree.mkdir()
        series.git(source.tree, "archive", f"--output={partial / 'src.tar'}", commit, *_SOURCES)
        proc.run(["tar", "-xf", partial / "src.tar", "-C", tree], log, "unpacking the selftests")
        env = {"MAKEFLAGS": "", "LC_ALL": "C"}
        proc.run(["make", "-C", tree, *kernel.make_args(), "headers"], log, "headers", env=env)
        # Those that need a library which is not there are left out: programs are what is found
        proc.run(["make", "-k", "-C", tree / "tools/testing/selftests", *kernel.make_args(),
                  "TARGETS=mm arm64",
                  "ARM64_SUBTARGETS=" + " ".join(Path(name).name for name in _DIRS[1:]),
                  f"CC={needs.cross_prefix()}gcc -static", "FORCE_TARGETS="], log,
                 "building the selftests", env=env)
        for name in _DIRS:
            (partial / name).mkdir(parents=True)
            for path in (tree / "tools/testing/selftests" / name).iterdir():
                if path.is_file() and path.read_bytes()[:4] == b"\x7fELF" and path.suffix != ".o":
                    shutil.copy2(path, partial / name)
        shutil.rmtree(tree)
        (partial / "src.tar").unlink()
        progress.done()

    key = cache.digest([Path(__file__), commit, kernel.compiler()])
    return cache.entry("selftests", key, make)


def jobs(where: Path) -> list[tuple[str, str]]:
    """Names and command lines."""
    found = []
    for directory in _DIRS:
        for path in sorted((where / directory).iterdir()):
            name = f"{directory}/{path.name}"
            if name in _LEFT_OUT:
                continue
            for args in _ARGS.get(name, ("",)):
                line = f"cd /selftests/{directory}; exec ./{path.name} {args}".strip()
                found.append((re.sub(r"[^\w-]+", "_", f"{name} {args}".strip()), line))
    return found


def files(where: Path) -> dict[str, Path]:
    """What is put into the initramfs."""
    return {f"/selftests/{name}/{path.name}": path
            for name in _DIRS for path in (where / name).iterdir()}


def outcome(status: str, late: str, lines: list[str]) -> Outcome:
    """Count the points; a program that does not write TAP is one point."""
    points = [line for line in lines if re.match(r"(not )?ok \d+", line)]
    skipped = sum(bool(re.search(r"# SKIP", line, re.I)) for line in points)
    failed = sum(line.startswith("not ok") and not re.search(r"# (SKIP|XFAIL)", line, re.I)
                 for line in points)
    end = "late" if late == "1" else "" if status in ("0", "1", str(_SKIP)) else f"exit {status}"
    if not points:
        return Outcome(int(status == "0"), int(status not in ("0", str(_SKIP))),
                       int(status == str(_SKIP)), end)
    return Outcome(len(points) - skipped - failed, failed, skipped, end)


def table(found: Mapping[str, Mapping[str, Outcome]]) -> str:
    """Side by side: passed/failed/skipped of each test on each kernel."""
    kernels = list(found)
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    lines = [f"{'passed/failed/skipped':44} " + " ".join(f"{name:>16}" for name in kernels)]
    for name in names:
        row = (str(found[key].get(name, "-")) for key in kernels)
        lines.append(f"{name:44} " + " ".join(f"{cell:>16}" for cell in row))
    return "\n".join(lines) + "\n"


def worse(ours: Mapping[str, Outcome], other: Mapping[str, Outcome]) -> list[str]:
    """The tests that pass less often on our kernel than on the other."""
    none = Outcome(0, 0, 0, "did not run")
    return [f"{name}: {ours.get(name, none)}, but {theirs}" for name, theirs in other.items()
            if ours.get(name, none).passed < theirs.passed]
