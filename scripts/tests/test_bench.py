# SPDX-License-Identifier: GPL-2.0
"""The benchmark: its kernels, and what it makes of the guest's rows and the plugin's counts."""

from __future__ import annotations

import contextlib
import math
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from unittest import mock

from kpkeyslib import bench, cli, costmodel, counts, kernel, plot, series
from kpkeyslib.counts import BASE, OFF, ON, UNBATCHED, WITHOUT_ISB, Row
from kpkeyslib.term import Problem

from .support import Scratch, commit, edit, mini_kernel

CONSOLE = """\
[    0.1] Run /init as init process
kpkeys-bench: memory 900 40 1000
kpkeys-bench: row fork 1 64
kpkeys-bench: row fork 1 64
[    0.2] Summary: fix_size_alloc_test passed: 1
kpkeys-bench: row -alloc 100 0
kpkeys-bench: row alloc 100 0
kpkeys-bench: done
"""
COUNTED = "1000 0 0 10 5 1\n3000 0 0 20 5 1\n500 0 0 7 7 7\n10500 0 0 107 7 7\n"
PROTECTED = "2000 128 9 138 5 1\n4000 128 9 148 5 1\n500 3 0 9 7 7\n11500 403 0 409 7 7\n"


def counted(text: str, console: str = CONSOLE) -> counts.Workloads:
    return counts.workloads(counts.rows(console, text))


class Rows(Scratch):
    def test_repeats_are_averaged_and_overhead_is_taken_off(self) -> None:
        found = counted(COUNTED)
        self.assertEqual(list(found), ["fork", "alloc"])
        self.assertEqual(found["fork"], Row("fork", 1, 64, (2000, 0, 0, 15, 5, 1)))
        self.assertEqual(found["alloc"], Row("alloc", 100, 0, (10000, 0, 0, 100, 0, 0)))

    def test_how_far_repeats_are_apart(self) -> None:
        found = counts.spread(counts.rows(CONSOLE, COUNTED))
        self.assertEqual(found, {"fork": 200, "alloc": 0})

    def test_costs(self) -> None:
        found = counts.costs(counted(COUNTED), counted(PROTECTED))
        self.assertEqual(found["fork"], counts.Cost(50.0, 128, 128, 2))
        self.assertAlmostEqual(found["alloc"].insns, 10)
        self.assertEqual(found["alloc"][1:], (3, 4, None))

    def test_a_mismatch_is_refused(self) -> None:
        for console, text, wanted in (
            (CONSOLE, COUNTED + "1 0 0 0 0 0\n", "4 rows, but 5 sections"),
            (CONSOLE.replace("kpkeys-bench: row alloc", "kpkeys"), COUNTED,
             "3 rows, but 4 sections"),
            ("kpkeys-bench: done\n", "", "0 rows"),
            (CONSOLE, COUNTED.replace(" 7\n", "\n"), "another plugin"),
            (CONSOLE.replace("row alloc", "row other"), COUNTED, "no row alloc"),
            (CONSOLE, COUNTED.replace("10500", "500"), "no instructions were counted in alloc"),
            (CONSOLE.replace("bench: done", "bench: don"), COUNTED, "did not come to its end"),
            (CONSOLE + "kpkeys-bench: error fork: no\n", COUNTED, "reports: error fork: no"),
        ):
            with self.assertRaisesRegex(Problem, wanted):
                counted(text, console)

    def test_other_workloads_than_on_the_base_kernel_are_refused(self) -> None:
        for old, new in (("row fork 1 64", "row fork 2 64"), ("row fork", "row spoon")):
            other = counted(PROTECTED, CONSOLE.replace(old, new))
            with self.assertRaisesRegex(Problem, "not the same as on the base kernel: fork"):
                counts.costs(counted(COUNTED), other)

    def test_results_are_read_as_they_were_written(self) -> None:
        rows = {BASE: counts.rows(CONSOLE, COUNTED), WITHOUT_ISB: counts.rows(CONSOLE, PROTECTED)}
        memory = {BASE: [counts.Memory(900, 0, 1000), counts.Memory(800, 0, 1000)],
                  WITHOUT_ISB: [counts.memory_left(CONSOLE)]}
        results = counts.Results(("Kernel    Linux, gcc", "Emulator  QEMU"), rows, memory)
        path = self.dir / "results.csv"
        counts.write(path, results)
        self.assertEqual(counts.read(path), results)

        text = path.read_text()
        for broken, wanted in (
            ("", "its columns are others"), (text.replace("por_entry,", ""), "columns are others"),
            (text + "on,fork,0,64,1,1,1,1,1,1\n", "not a row: on,fork,0"),
            (text + "on,fork\n", "not a row: on,fork$"),
            (text + "on,fork,1,64,1,x,1,1,1,1\n", "not a row"),
            (text + "on,memory,900,40\n", "not a row: on,memory,900,40"),
            (text.replace("base,", "bass,"), "no base kernel"),
        ):
            path.write_text(broken)
            with self.assertRaisesRegex(Problem, wanted):
                counts.read(path)
        with self.assertRaisesRegex(Problem, "No such file"):
            counts.read(self.dir / "none")


class Memory(Scratch):
    def test_what_is_kept_is_not_in_use(self) -> None:
        found = counts.memory_costs({BASE: [counts.Memory(900, 0, 1000)] * 2, ON: [
            counts.Memory(700, 190, 990), counts.Memory(800, 80, 990)]})
        self.assertEqual(found, {ON: counts.MemoryCost(15, 135)})

    def test_without_the_base_kernel_there_is_nothing_to_compare(self) -> None:
        self.assertEqual(counts.memory_costs({}), {})
        self.assertEqual(counts.memory_costs({ON: [counts.Memory(700, 190, 990)]}), {})

    def test_a_guest_that_does_not_say_it_is_refused(self) -> None:
        self.assertEqual(counts.memory_left(CONSOLE), counts.Memory(900, 40, 1000))
        with self.assertRaisesRegex(Problem, "how much memory is free"):
            counts.memory_left(CONSOLE.replace("memory 900 40 1000", "memory 900"))


def row(name: str, insns: float, isb: float = 0, por: float = 0, tables: int = 10) -> Row:
    return Row(name, 100, tables, (insns, por, 0, isb, 0, 0))


def means(**others: tuple[float, float, float]) -> dict[str, counts.Workloads]:
    """Kernels of which each has (instructions, ISBs, writes) for each of some rows."""
    names = ("fork-small", "munmap-huge", "fix_size-1", "vm_map_ram-1")
    found = {BASE: (10000.0, 0.0, 0.0), OFF: (10000.0, 0.0, 0.0), UNBATCHED: (11000.0, 400., 400.),
             ON: (10100.0, 40.0, 40.0), WITHOUT_ISB: (10100.0, 20.0, 40.0), **others}
    return {kernel: {name: row(name, *values) for name in names} | {"switch": row("switch", 5000)}
            for kernel, values in found.items()}


MEMORY = {BASE: [counts.Memory(9000, 0, 10000)], ON: [counts.Memory(7800, 1000, 10000)]}


class Limits(Scratch):
    def broken(self, **others: tuple[float, float, float]) -> list[int]:
        return self.broken_of(means(**others))

    def broken_of(self, found: dict[str, counts.Workloads], used: float = 200) -> list[int]:
        verdicts = counts.limits(found, {ON: counts.MemoryCost(used, 9999)})
        return [index for index, verdict in enumerate(verdicts) if not verdict.kept]

    def test_each_limit_can_break(self) -> None:
        self.assertEqual(self.broken(), [])
        self.assertEqual(self.broken(on=(10202, 40, 40)), [0])
        self.assertEqual(self.broken(on=(10100, 41, 40)), [2])
        self.assertEqual(self.broken(unbatched=(11000, 50, 40)), [3])
        self.assertEqual(self.broken(unbatched=(11000, 39, 40)), [3, 4])
        self.assertEqual(self.broken(**{WITHOUT_ISB: (9000, 203, 99)}), [4])
        self.assertEqual(self.broken(off=(10051, 9, 0)), [5])
        self.assertEqual(self.broken(off=(9000, 9, 1)), [6])
        self.assertEqual(self.broken_of(means(), counts.MOST_MEMORY + 1), [7])

    def test_each_way_into_the_kernel_has_the_limit(self) -> None:
        for name in ("syscall", "switch", "irq-user", "irq-kernel", "fault-file", "module"):
            found = means()
            for column, rows in found.items():
                rows[name] = row(name, 5100 if column == ON else 5000)
            self.assertEqual(self.broken_of(found), [])
            found[ON][name] = row(name, 5101)
            self.assertEqual(self.broken_of(found), [1])

    def test_what_was_not_measured_is_not_kept(self) -> None:
        found = means()
        del found[WITHOUT_ISB], found[OFF]
        self.assertEqual([verdict.kept for verdict in counts.limits(found, {})],
                         [True, True, True, True, None, None, None, None])

    def test_the_worst_row_is_named(self) -> None:
        found = means()
        found[ON]["munmap-huge"] = row("munmap-huge", 10500, 40, 40)
        self.assertEqual(counts.limits(found, {})[0].found, "5.00 % (munmap-huge)")


def posted(name: str, without: float, batched: float = 0) -> costmodel.Posted:
    return costmodel.Posted(f"{name}_test", name, without, batched, "operation", 3, 4)


class Model(Scratch):
    def test_costs_that_the_figures_are_made_of_are_found(self) -> None:
        base = {name: row(name, insns) for name, insns in (("a", 1000), ("b", 90000))}
        other = {"a": row("a", 1100, 8, 8), "b": row("b", 91000, 300, 300)}
        # 80 instructions an ISB and a write
        known = [posted("a", (100 + 640) / 10), posted("b", (1000 + 24000) / 900), posted("c", 9)]
        model = costmodel.fit(base, other, known)
        assert model
        self.assertAlmostEqual(model.isb + model.por, 80, places=3)
        self.assertAlmostEqual(model.isb / 80, costmodel.ISB_SHARE, places=3)
        self.assertEqual(list(model.ratios), ["a", "b"])
        self.assertAlmostEqual(model.spread(), 1, places=4)
        self.assertAlmostEqual(model.of(base["a"], row("a", 1000, 4, 0)), 16, places=3)
        # 100 operations with 3 ISBs and 4 writes each
        self.assertAlmostEqual(model.of_posted(base["a"], known[0]), 100 * 28, places=1)
        table = known[0]._replace(per="table")
        self.assertAlmostEqual(model.of_posted(base["a"], table), 10 * 28, places=1)

    def test_the_fit_is_of_factors(self) -> None:
        base = {name: row(name, 100) for name in ("a", "b")}
        other = {name: row(name, 100, 1, 1) for name in base}
        model = costmodel.fit(base, other, [posted("a", 40), posted("b", 160)])
        assert model
        self.assertAlmostEqual(model.isb + model.por, 80, places=3)
        self.assertAlmostEqual(model.spread(), 2, places=3)
        self.assertAlmostEqual(model.worst()[0], 2, places=3)

    def test_fewer_instructions_do_not_stop_it(self) -> None:
        other = {"a": row("a", 900, 1, 1)}
        model = costmodel.fit({"a": row("a", 1000)}, other, [posted("a", 5)])
        assert model
        self.assertTrue(math.isclose(model.isb + model.por, 150, rel_tol=1e-3))

    def test_nothing_to_fit(self) -> None:
        self.assertIsNone(costmodel.fit({"a": row("a", 1)}, {}, [posted("a", 5)]))

    def test_the_distance_to_the_batched_figures(self) -> None:
        lines = [posted("a", 0, 10), posted("b", 0, -4), posted("c", 0, 99)]
        self.assertAlmostEqual(costmodel.points_off({"a": 13, "b": 0}, lines), math.sqrt(12.5))

    def test_the_posted_figures(self) -> None:
        lines = costmodel.posted()
        self.assertEqual(len(lines), 15)
        self.assertEqual((lines[0].row, lines[0].without, lines[0].batched), ("", 3.97, 2.17))
        workloads = (bench.BENCH / "workloads.c").read_text()
        for line in lines[1:]:
            self.assertIn(f'"{line.row}"', workloads)
            self.assertGreater(line.without, 0)
            self.assertIn(line.per, ("table", "operation"))


class Report(Scratch):
    def write(self, kernels: dict[str, counts.Workloads]) -> Path:
        path = self.dir / "old" / "results.csv"
        path.parent.mkdir(exist_ok=True)
        rows = {name: list(found.values()) for name, found in kernels.items()}
        counts.write(path, counts.Results(("Kernel    Linux <7.3>",), rows, MEMORY))
        return path

    def test_all_is_made_from_the_recorded_counts(self) -> None:
        path = self.write(means())
        self.assertEqual(cli.main(["bench", "--check", "--from", str(path)]), 0)
        shown = self.screen.getvalue()
        self.assertIn("Kernel    Linux <7.3>", shown)
        for line in shown.splitlines():
            self.assertTrue(len(line) <= 100 or line.startswith("Written"), line)
        made = {file.name: file.read_text() for file in path.parent.iterdir()}
        self.assertEqual(sorted(made), [f"results.{kind}" for kind in ("csv", "md", "rst", "svg")])
        self.assertIn("| fork-small | 100 | 0.00% | 10.00% | 1.00% | 1.00% |", made["results.md"])
        self.assertIn('   "fork-small","100","0.00%"', made["results.rst"])
        self.assertIn("| in use | 200 |\n| kept | 1000 |", made["results.md"])
        self.assertIn("on, no ISB: estimate", made["results.md"])
        self.assertIn("ESTIMATED", made["results.svg"])

        other = self.dir / "new"
        self.assertEqual(cli.main(["bench", "--from", str(path), "--output", str(other)]), 0)
        self.assertEqual((other / "results.svg").read_text(), made["results.svg"])

    def test_a_broken_limit_fails_a_check_only(self) -> None:
        path = self.write(means(on=(20000, 0, 0)))
        self.assertEqual(cli.main(["bench", "--from", str(path)]), 0)
        self.assertEqual(cli.main(["bench", "--check", "--from", str(path)]), 1)
        self.assertRegex(self.screen.getvalue(), r"2 % more instructions +BROKEN +100.00 %")

    def test_without_the_kernel_that_does_not_batch_there_is_no_estimate(self) -> None:
        found = means()
        del found[UNBATCHED]
        path = self.write(found)
        self.assertEqual(cli.main(["bench", "--from", str(path)]), 0)
        self.assertIn("No estimate", self.screen.getvalue())
        self.assertNotIn("estimate", path.with_suffix(".md").read_text())


    def test_what_is_recorded_is_made_from_the_recorded_counts(self) -> None:
        recorded = bench.BENCH / "results"
        argv = ["bench", "--from", str(recorded / "results.csv"), "--output", str(self.dir)]
        self.assertEqual(cli.main(argv), 0)
        for kind in ("md", "rst", "svg"):
            name = f"results.{kind}"
            self.assertEqual((self.dir / name).read_text(), (recorded / name).read_text(), name)


class Kernels(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.known = {"linux": {"version": "7.3"}}
        self.tree = self.dir / "linux"
        self.tree.mkdir()
        mini_kernel(self.tree)
        work = self.dir / "work"
        series.git(self.dir, "clone", "--quiet", self.tree, work)
        for old, new in (("line0", "series"), ("series", "batching"), ("line20", "seed")):
            edit(work / "mm/memory.c", f"int {old};", f"int {new};")
            if new == "batching":
                edit(work / "arch/arm64/Kconfig", "\n", f"\nconfig {bench.NO_ISB}\n")
            commit(work, new)
            text = series.git(work, "format-patch", "-1", "--stdout")
            self.patch(new).write_text(text)

    def patch(self, name: str) -> Path:
        file = bench.BATCHING if name == "batching" else name
        return self.dir / f"{file}.patch"

    def columns(self, linux: Path, *patches: str, seed: bool = True) -> list[tuple[str, ...]]:
        """The columns' names, what their tree holds when it is compiled, and their options."""
        (self.dir / "bench/patches").mkdir(parents=True)
        if seed:
            shutil.copy(self.patch("seed"), self.dir / "bench/patches")

        def collect(_: Path, into: Path, __: kernel.Kind) -> None:
            (into / "held").write_text(self.held)

        def compiled(source: kernel.Source, _: Path, variant: str, __: kernel.Kind) -> None:
            lines = (source.tree / "mm/memory.c").read_text().splitlines()
            self.held = f"{lines[0]} {lines[20]} {variant}"

        with contextlib.ExitStack() as stack:
            for where, name, new in (
                (bench, "BENCH", self.dir / "bench"), (kernel, "compiler", lambda: "gcc"),
                (kernel, "_compile", compiled), (kernel, "_collect", collect),
                (series, "patches", lambda: [self.patch(patch) for patch in patches]),
            ):
                stack.enter_context(mock.patch.object(where, name, new))
            found = bench._columns(self.known, str(linux))
        return [(column.name, (column.kernel.directory / "held").read_text(),
                 column.append.rpartition("=")[2]) for column in found]

    def test_a_prefix_of_the_series_is_what_does_not_batch(self) -> None:
        self.assertEqual(self.columns(self.tree, "series", "batching"), [
            (BASE, "int line0; int seed; bench", ""),
            (OFF, "int batching; int seed; bench protected", "off"),
            (UNBATCHED, "int series; int seed; bench protected", "on"),
            (ON, "int batching; int seed; bench protected", "on"),
            (WITHOUT_ISB, "int batching; int seed; bench protected noisb", "on")])

    def test_columns_that_cannot_be_are_left_out(self) -> None:
        self.assertEqual(self.columns(self.tree, "series", seed=False), [
            (BASE, "int line0; int line20; bench", ""),
            (OFF, "int series; int line20; bench protected", "off"),
            (ON, "int series; int line20; bench protected", "on")])
        shown = self.screen.getvalue()
        self.assertIn(f"No column 'unbatched': no patch of the series is named {bench.BATCHING}",
                      shown)
        self.assertIn(f"No column 'on, no ISB': the kernel has no option {bench.NO_ISB}", shown)

    def test_a_tree_that_has_the_series_needs_another_base(self) -> None:
        asked = []
        (self.tree / "lib").mkdir()
        (self.tree / "lib/test_vmalloc.c").write_text("")

        def build(_: object, linux: str | None, variant: str, kind: kernel.Kind) -> kernel.Kernel:
            asked.append((linux, variant, len(kind.patches())))
            source = kernel.Source(self.tree, "base" if linux is None else None, "Linux")
            return kernel.Kernel(self.dir, self.dir, source, 0, "gcc")

        with mock.patch.object(kernel, "build", build), \
                mock.patch.object(bench, "_without_batching", lambda _: [self.patch("series")]):
            names = [column.name for column in bench._columns(self.known, "tree")]
            self.assertEqual(names, [BASE, OFF, UNBATCHED, ON])
            (self.tree / "arch/arm64/Kconfig").write_text(f"config {bench.NO_ISB}\n\tbool\n")
            bench._columns(self.known, "tree")
        self.assertEqual([(linux, variant) for linux, variant, _ in asked[:3]], [
            ("tree", "bench protected"), (None, "bench"), (None, "bench protected")])
        self.assertEqual(asked[-1][:2], ("tree", "bench protected noisb"))
        self.assertEqual([number for *_, number in asked[1:3]], [1, 2])
        self.assertIn("random_size cannot be compared", self.screen.getvalue())

    def test_each_column_has_a_log_of_its_own(self) -> None:
        built = kernel.Kernel(self.dir, self.dir, kernel.Source(self.tree, None, ""), 0, "")
        logs = [bench.Column(name, built).log.name for name in (ON, WITHOUT_ISB)]
        self.assertEqual(logs, ["bench-on.log", "bench-on-no-isb.log"])


class Machines(Scratch):
    def test_the_linear_map_is_of_what_was_asked_for(self) -> None:
        for args, mode in (([], bench.PAGES), (["--blocks"], bench.BLOCKS)):
            with mock.patch.object(bench, "run", return_value=True) as run, \
                    mock.patch.object(cli.needs, "ensure"):
                self.assertEqual(cli.main(["bench", *args]), 0)
            self.assertIn(mode, run.call_args.args)
        self.assertEqual((bench.PAGES.blocks, bench.BLOCKS.blocks), (False, True))


class Plot(Scratch):
    def test_ticks_hold_all_values(self) -> None:
        for low, high in ((0, 0), (-6.5, 0.3), (0.2, 7), (0, 1234), (-3, -2)):
            marks = plot.ticks(low, high)
            self.assertLessEqual(marks[0], min(low, 0))
            self.assertGreaterEqual(marks[-1], max(high, 0))
            self.assertTrue(2 <= len(marks) <= 9, marks)
        self.assertEqual(plot.ticks(-9, 400), [0, 100, 200, 300, 400])
        self.assertEqual(plot.decades(4700), [0.1, 1, 10, 100, 1000, 10000])
        self.assertEqual(plot.decades(-1), [0.1, 1])

    def test_a_mark_for_each_value(self) -> None:
        panels = [plot.Panel("%", [plot.Marks("off", 0, [1, -2]), plot.Marks("on", 2, [3, 0])],
                             "on"),
                  plot.Panel("n", [plot.Marks("off", 1, [0, 5e4]), plot.Marks("on", 3, [-1, None])],
                             "off", log=True)]
        text = plot.svg(["a<b", "c"], panels)
        found = list(ElementTree.fromstring(text).iter())
        marks = [item for item in found if item.get("class", "").startswith("mark")]
        # and one of each kind to explain it
        self.assertEqual(len(marks), 7 + 4)
        words = [item.text for item in found]
        self.assertTrue({"a<b", "c", "3.00", "0.00", "50000.00", "10k", "100k"} <= set(words))
        self.assertNotIn("-2.00", words)

    def test_an_empty_panel(self) -> None:
        ElementTree.fromstring(plot.svg([], [plot.Panel("%", [], "on")]))
