# SPDX-License-Identifier: GPL-2.0
"""bench/mock/run.sh: the table that it makes of measured times, and its errors."""

from __future__ import annotations

import subprocess

from kpkeyslib import inputs

from .support import Scratch


class Table(Scratch):
    def table(self, **files: list[tuple[int, int]]) -> subprocess.CompletedProcess[str]:
        """Of files with a row of each workload a run: what they took, in ns."""
        for name, runs in files.items():
            text = f"# kernel of {name}\n"
            for fork, alloc in runs:
                text += f"kpkeys-bench: row fork 1 64 {fork}\nkpkeys-bench: row -alloc 10 0 500\n"
                text += f"kpkeys-bench: row alloc 10 0 {alloc + 500}\nkpkeys-bench: done\n"
            (self.dir / f"{name}.times").write_text(text)
        return self.script("table", *files)

    def script(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([inputs.REPO / "bench/mock/run.sh", *args], cwd=self.dir, text=True,
                              capture_output=True, check=False)

    def test_medians_overhead_and_spread(self) -> None:
        found = self.table(base=[(1000, 50), (3000, 50), (2000, 50), (9, 50), (9999, 50)],
                           on=[(3000, 75), (2500, 75), (2000, 75), (2600, 75)])
        self.assertEqual((found.returncode, found.stderr), (0, ""))
        lines = found.stdout.splitlines()
        self.assertEqual(lines[:3], ["base: kernel of base", "on: kernel of on", ""])
        words = [line.replace("+-", " ").split() for line in lines[4:6]]
        self.assertEqual(words, [
            ["alloc", "5", "0.0%", "|", "8", "+50.0%", "0.0%"],
            ["fork", "2000", "50.0%", "|", "2550", "+27.5%", "19.6%"]])

    def test_errors_are_one_line(self) -> None:
        self.table(base=[(1, 1)], on=[(1, 1)], none=[])
        odd = (self.dir / "base.times").read_text().replace("fork 1", "fork 2")
        (self.dir / "odd.times").write_text(odd)
        for args, wanted in (
            ((), "usage: "), (("table", "base"), "usage: "), (("measure",), "usage: "),
            (("measure", "a/b"), "no name for a file"), (("measure", "a", "0"), "number of runs"),
            (("table", "base", "off"), "no off.times"), (("table", "none", "none"), "no rows"),
            (("table", "base", "odd"), "odd.times has other workloads than base.times"),
        ):
            found = self.script(*args)
            self.assertEqual((found.returncode, found.stdout), (2, ""), args)
            self.assertRegex(found.stderr, rf"^run\.sh: .*{wanted}.*\n\Z")
