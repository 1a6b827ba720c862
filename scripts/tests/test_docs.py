# SPDX-License-Identifier: GPL-2.0
"""The documents: pictures and figures in them are up to date, and what is wrong is said."""

from __future__ import annotations

import re
import runpy
import shutil
import unittest
from unittest import mock

from kpkeyslib import docs, inputs, proc
from kpkeyslib.term import Problem

from .support import Scratch


def documents() -> str:
    return "".join(path.read_text() for path in docs.DOCUMENTS.glob("*.rst"))


class Pictures(Scratch):
    def test_each_is_of_its_source(self) -> None:
        self.assertTrue(docs.sources())
        self.assertEqual([], [path.name for path in docs.sources() if not docs.is_of(path)])

    @unittest.skipUnless(shutil.which("fossil"), "no fossil, which has pikchr in it")
    def test_each_is_what_the_command_makes(self) -> None:
        docs.draw(self.dir)
        for made in self.dir.glob("*.svg"):
            self.assertEqual(made.read_text(), (docs.PICTURES / made.name).read_text(), made.name)

    def test_each_is_shown_and_described(self) -> None:
        shown = re.findall(r"^\.\. figure:: pictures/(\S+)\n   :alt: \S", documents(), re.M)
        self.assertEqual(sorted(shown), sorted(path.name for path in docs.PICTURES.glob("*.svg")))
        self.assertEqual(sorted(shown), [f"{path.stem}.svg" for path in docs.sources()])

    def picture(self, made: str) -> str:
        source = self.dir / "a.pikchr"
        source.write_text("box")
        with mock.patch.object(proc, "output", return_value=made):
            return docs.picture(source)

    def test_for_dark_screens_too(self) -> None:
        made = self.picture('<svg class="pikchr" viewBox="0 0 9.5 7" data-a="b">\n'
                            '<path d="M1,2" style="fill:none;stroke:rgb(0,0,0);" />\n</svg>\n')
        self.assertIn('width="9.5" height="7" viewBox="0 0 9.5 7"', made)
        self.assertIn('[style*="stroke:rgb(0,0,0)"] { stroke: #e6edf3 !important; }', made)
        self.assertTrue(made.endswith('stroke:rgb(0,0,0);" />\n</svg>\n'))
        with self.assertRaisesRegex(Problem, r"a\.pikchr: no dark colour for rgb\(1,2,3\)"):
            self.picture('<svg viewBox="0 0 1 1">fill:rgb(1,2,3)')

    def test_a_source_that_is_wrong(self) -> None:
        with self.assertRaisesRegex(Problem, r"a\.pikchr: <!-- empty"):
            self.picture("<!-- empty pikchr diagram -->\n")


class Html(Scratch):
    def remarks(self, said: str) -> list[str]:
        def sphinx(*_: object, **__: object) -> None:
            (self.dir / "docs.warnings").write_text(said)
            raise Problem("sphinx-build failed")

        with mock.patch.object(docs, "LOG", self.dir / "docs.log"), \
                mock.patch.object(docs.needs, "ensure"), \
                mock.patch.object(docs, "sources", return_value=[]), \
                mock.patch.object(proc, "run", side_effect=sphinx):
            return docs.remarks(self.dir / "html")

    def test_warnings_are_what_is_to_be_mended(self) -> None:
        self.assertEqual(self.remarks("a.rst:1: WARNING: w\n"), ["a.rst:1: WARNING: w"])

    def test_without_a_warning_it_could_not_run(self) -> None:
        with self.assertRaisesRegex(Problem, "sphinx-build failed"):
            self.remarks("")


class Text(unittest.TestCase):
    def test_documents_of_the_kernel_are_those_of_the_patches(self) -> None:
        source = [(docs.DOCUMENTS / "kernel.rst").read_text()]
        runpy.run_path(str(docs.DOCUMENTS / "conf.py"))["_kernel_documents"](None, "", source)
        for text in ("Adding a level\n====", "1. Add ``KPKEYS_LVL_FOO``", "POR_EL1\n====",
                     "What is not protected\n===="):
            self.assertIn(f"\n{text}", source[0])
        for text in ("in-kernel::", "kernel-doc::", "\n+"):
            self.assertNotIn(text, source[0])

    def test_the_figures_in_short_are_those_of_the_tables(self) -> None:
        def column(title: str, name: str) -> dict[str, str]:
            text = results.split(f"csv-table:: {title}\n")[1].split("\n\n")
            heads, *rows = (re.findall(r'"([^"]*)"', line) for line in text[1].splitlines())
            return {row[0]: row[heads.index(name)] for row in rows}

        results = (inputs.REPO / "bench/results/results.rst").read_text()
        insns, isbs = column("Instructions", "on"), column("ISBs", "on")
        times = column("Posted times and estimates", "on: estimate")
        text = (docs.DOCUMENTS / "performance.rst").read_text()
        off = {row: float(more.rstrip("%")) for row, more in column("Instructions", "off").items()}
        number = r" +([-\d.]+)"
        shown = re.findall(rf"^``([\w-]+)``  .*{number} %{number}{number} %{number} %$", text, re.M)
        self.assertGreater(len(shown), 5)
        for name, *figures in shown:
            time = float(times[name])
            # Switched off, nothing but instructions is added
            against_off = 100 * ((100 + time) / (100 + off[name]) - 1)
            self.assertEqual(figures, [f"{float(insns[name].rstrip('%')):.1f}",
                                       f"{float(isbs[name]):.4g}", f"{time:.1f}",
                                       f"{against_off:.1f}"], name)
        worst = max(off, key=lambda name: off[name])
        self.assertIn(f"the worst is ``{worst}`` with {off[worst]:.2f} % more", text)
        missed = re.search(r"misses by a factor of ([\d.]+) in the mean\s+and of ([\d.]+)", results)
        self.assertIn("a factor of {} in the mean and of {} at worst".format(*missed.groups()), text)

    def test_files_of_the_repository_are_there(self) -> None:
        text = (inputs.REPO / "README.md").read_text() + documents()
        named = re.findall(r"\]\(([\w./-]+)\)", text) + re.findall(r"patches/\d[\w.-]+", text)
        self.assertGreater(len(named), 5)
        self.assertEqual([], [name for name in named if not (inputs.REPO / name).exists()])
