# SPDX-License-Identifier: GPL-2.0
"""Figures in the documents are those of results, and what is stale is said."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from kpkeyslib import figures, inputs, series
from kpkeyslib.term import Problem

from .support import Scratch

BLOCK = """Before 1.

<!-- run -->

    Kernel    Linux 7.3.1 and 2 patches
    ...
      kernel   pte        528       -     528

After 1.
"""


class Figures(Scratch):
    def setUp(self) -> None:
        super().setUp()
        for name in ("RESULTS", "DIRECTORY"):
            (self.dir / name).mkdir()
            patch = mock.patch.object(figures, name, self.dir / name)
            patch.start()
            self.addCleanup(patch.stop)

    def results(self, *lines: str) -> None:
        text = "\n".join((f"# {figures._about()}", *lines)) + "\n"
        (self.dir / "RESULTS" / "run.txt").write_text(text)

    def test_a_block_gets_the_figures_of_the_results(self) -> None:
        self.results("Kernel    Linux 7.3.4 and 55 patches", "something else 1",
                     "  kernel   pte        530       -     530")
        text = figures._excerpt(BLOCK, "run", "README.md")
        self.assertEqual(text, BLOCK.replace("7.3.1 and 2", "7.3.4 and 55").replace("528", "530"))
        self.assertEqual(figures._excerpt(text, "run", "README.md"), text)

    def test_a_line_that_is_shown_no_longer(self) -> None:
        self.results("Kernel    Linux 7.3.4 and 55 patches", "  user   pte  1  -  1")
        with self.assertRaisesRegex(Problem, "README.md: run has no line.*kernel   pte"):
            figures._excerpt(BLOCK, "run", "README.md")

    def test_results_that_are_not_there(self) -> None:
        with self.assertRaisesRegex(Problem, "no run.txt: run scripts/kpkeys run, then"):
            figures._excerpt(BLOCK, "run", "README.md")

    def test_what_a_command_notes(self) -> None:
        begin = figures.start()
        figures.note("run", begin, ["Building ...", "Kernel    Linux 7.3.4", f"  {Path.home()}/x"])
        text = (self.dir / "DIRECTORY" / "run.txt").read_text()
        self.assertEqual(text, f"# {figures._about()}\nKernel    Linux 7.3.4\n  ~/x\n")
        self.assertEqual(list(figures._times(self.dir / "DIRECTORY")), ["run, warm"])

    def test_results_of_other_patches_are_stale(self) -> None:
        (self.dir / "RESULTS" / "run.txt").write_text("# 2 patches, 0123\n")
        with mock.patch.object(figures, "_documents", return_value=[]), \
                mock.patch.object(figures, "REPEAT", {"run": "scripts/kpkeys run"}):
            self.assertIn("Documentation/results/run.txt is of other patches; repeat: scripts/kpkeys"
                          " run", figures.stale())
            self.results("Kernel")
            self.assertFalse([text for text in figures.stale() if "run.txt" in text])

    def test_a_figure_that_is_changed_by_hand_is_stale(self) -> None:
        document = inputs.REPO / "README.md"
        with mock.patch.object(figures, "_documents", return_value=[(document, "other")]), \
                mock.patch.object(figures, "REPEAT", {}):
            self.assertIn("README.md is not what 'kpkeys docs --figures' writes", figures.stale())


class Parts(Scratch):
    def test_comments_stay_before_their_patches(self) -> None:
        old = self.dir / "series"
        old.write_text("# one\n0001-a.patch\n0002-b.patch\n# two, gone\n0003-c.patch\n"
                       "0004-d.patch\n")
        new = series._with_comments(["0001-x.patch", "0002-a.patch", "0003-d.patch"], old)
        self.assertEqual(new, "0001-x.patch\n# one\n0002-a.patch\n# two, gone\n0003-d.patch\n")

    def test_the_cover_letter_has_them(self) -> None:
        found = series.parts("# one\n0001-a.patch\n0002-b.patch\n# two\n0003-c.patch\n")
        self.assertEqual(found, [(1, 2, "one"), (3, 3, "two")])
        for where in (inputs.REPO, *sorted((inputs.REPO / "backports").iterdir())):
            table = series._table_of_parts((where / "series").read_text())
            self.assertTrue(table)
            self.assertIn(table, (where / "patches/0000-cover-letter.txt").read_text())
