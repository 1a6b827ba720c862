# SPDX-License-Identifier: GPL-2.0
"""Figures in the documents are those of results, and what is stale is said."""

from __future__ import annotations

import re
import unittest
from pathlib import Path
from unittest import mock

from kpkeyslib import cache, figures, inputs, series, term
from kpkeyslib.term import Problem

from .support import Scratch

BLOCK = """Before 1.

<!-- run -->

    Kernel    Linux 7.3.1 and 2 patches
    ...
      kernel   pte        528       -     528
      PTE      0xfff0000001247780   refused

<!-- end -->

    scripts/kpkeys run --attack
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

    def test_what_a_test_of_the_command_says_is_no_result(self) -> None:
        class Talker(Scratch):
            def test_talks(self) -> None:
                term.say("a figure of its own")

        unittest.TestSuite([Talker("test_talks")]).run(unittest.TestResult())
        self.assertEqual(term.said(), [])

    def test_a_block_gets_the_figures_of_the_results(self) -> None:
        self.results("Kernel    Linux 7.3.4 and 55 patches", "something else 1",
                     "  kernel   pte        530       -     530",
                     "  PTE      0xfff00000012abcde   refused")
        text = figures._excerpt(BLOCK, "run", "README.md")
        self.assertEqual(text, BLOCK.replace("7.3.1 and 2", "7.3.4 and 55").replace("528", "530")
                         .replace("1247780", "12abcde"))
        self.assertEqual(figures._excerpt(text, "run", "README.md"), text)

    def test_a_line_that_is_shown_no_longer(self) -> None:
        self.results("Kernel    Linux 7.3.4 and 55 patches", "  user   pte  1  -  1")
        with self.assertRaisesRegex(Problem, "README.md: run has no line.*kernel   pte"):
            figures._excerpt(BLOCK, "run", "README.md")

    def test_tests_end_in_any_order_and_have_names(self) -> None:
        (self.dir / "RESULTS/test.txt").write_text(
            "# 2\nok     b: EL1 (1.0 s): 1 points\nok     b: EL2 (2.0 s): 2 points\n"
            "ok     a: x (3.0 s): 3 of 3\n")
        text = "<!-- test -->\n\n    ok     a: x (0.1 s): 9 of 9\n    ok     b: EL2 (0.2 s): 9 points\n"
        self.assertEqual(figures._excerpt(text, "test", "README.md"), "<!-- test -->\n\n"
                         "    ok     a: x (3.0 s): 3 of 3\n    ok     b: EL2 (2.0 s): 2 points\n")

    def test_each_block_ends_with_what_its_command_shows(self) -> None:
        text = (inputs.REPO / "README.md").read_text()
        for name in figures.REPEAT:
            begin = text.index(f"<!-- {name} -->\n\n")
            block = text[begin:].split("\n", 2)[2]
            block = block[:re.search(r"^\S", block, re.M).start()]  # type: ignore[union-attr]
            self.assertNotIn("scripts/kpkeys", block, name)

    def test_documents_are_what_the_command_writes(self) -> None:
        # With the results that are committed, whatever these are
        with mock.patch.object(figures, "RESULTS", inputs.REPO / "Documentation/results"):
            self.assertEqual(figures.changed(), [])

    def test_what_was_not_measured_keeps_nothing_else_from_being_written(self) -> None:
        readme = inputs.REPO / "README.md"
        with mock.patch.object(figures, "_WRITTEN", (
                ("README.md", r"`run` took\s+([\d.]+ \w+)", lambda: figures._time("run, cold")),
                ("README.md", r"of its (\d+) rows", lambda: "1234"))):
            texts, missing = figures._documents()
        self.assertIn("1234 rows", texts[readme])
        self.assertIn("no time of: run, cold; run scripts/kpkeys run with an empty cache",
                      " ".join(missing))

    def test_words_of_the_patches_change_no_results(self) -> None:
        patch = self.dir / "0001-a.patch"
        code = "diff --git a/mm/a.c b/mm/a.c\n+int a;\n"
        patch.write_text(f"Why\n---\n{code}")
        before = figures._built_of(patch)
        patch.write_text("Because\n---\ndiff --git a/Documentation/a.rst b/Documentation/a.rst\n"
                         f"+Words\n{code}")
        self.assertEqual(figures._built_of(patch), before)
        patch.write_text(f"Why\n---\n{code}+int b;\n")
        self.assertNotEqual(figures._built_of(patch), before)

    def test_no_place_of_this_machine_is_noted(self) -> None:
        figures.note("run", figures.start(), ["Kernel    a", f"  {inputs.REPO}/build/a.log",
                                              f"  {cache.root()}/kernel/b"])
        text = (self.dir / "DIRECTORY/run.txt").read_text()
        self.assertTrue(text.endswith("\n  ./build/a.log\n  ~/.cache/kpkeys/kernel/b\n"), text)

    def test_from_nothing_or_with_everything_built(self) -> None:
        kernels = cache.root() / "kernel"
        nothing = figures.start()
        (kernels / "a").mkdir(parents=True)
        figures.note("run", nothing, ["Kernel    a"])
        everything = figures.start()
        figures.note("run", everything, ["Kernel    a"])
        (kernels / "b").mkdir()
        # Neither: a kernel was there, and another one was built
        with mock.patch.object(figures, "_times", side_effect=AssertionError):
            figures.note("run", everything, ["Kernel    a"])
        self.assertEqual(sorted(figures._times(self.dir / "DIRECTORY")), ["run, cold", "run, warm"])

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
        with mock.patch.object(figures, "_documents", return_value=({}, [])), \
                mock.patch.object(figures, "REPEAT", {"run": "scripts/kpkeys run"}):
            self.assertIn("Documentation/results/run.txt is of other patches; repeat: scripts/kpkeys"
                          " run", figures.stale())
            self.assertEqual(figures.changed(), [])
            self.results("Kernel")
            self.assertFalse([text for text in figures.stale() if "run.txt" in text])

    def test_a_figure_that_is_changed_by_hand_is_stale(self) -> None:
        document = inputs.REPO / "README.md"
        with mock.patch.object(figures, "_documents", return_value=({document: "other"}, [])), \
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
        for path in (inputs.REPO / "series", *inputs.REPO.glob("backports/*/series")):
            table = series._table_of_parts(path.read_text())
            letter = (path.parent / "patches" / series.COVER).read_text()
            self.assertTrue(table, path)
            self.assertIn(f"Parts\n=====\n\n{table}", letter)

    def test_a_series_without_comments_leaves_the_letter_its_table(self) -> None:
        letter = "Parts\n=====\n\n 1-2    by hand\n\nMore.\n"
        self.assertEqual(series._with_parts(letter, "0001-a.patch\n"), letter)
        self.assertIn("\n 1      one\n\nMore.", series._with_parts(letter, "# one\n0001-a.patch\n"))
